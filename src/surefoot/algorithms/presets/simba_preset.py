"""SimBa: a simplicity bias for scaling up parameters (Lee et al. 2025, arXiv 2410.09754), by its authors' code."""

from __future__ import annotations

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    ObservationNorm,
    SquaredError,
    TanhGaussian,
    Temperature,
)
from surefoot.networks import LogStdRange, SimBaNet


def simba(utd: int = 2) -> Algorithm:
    """SimBa with SAC, as its authors run it on DM Control and MyoSuite: one critic.

    On suites whose episodes terminate they use two and the minimum: ``simba().replace(num_critics=2)``.

    Args:
        utd: gradient updates per agent step.
    """
    optimizer = AdamW(learning_rate=1e-4, weight_decay=0.01)
    return Algorithm(
        name="simba",
        actor=SimBaNet(128, 1),
        critic=SimBaNet(512, 2),
        num_critics=1,
        policy=TanhGaussian(LogStdRange(mapping="tanh")),
        critic_loss=SquaredError(scale=1.0),
        observation_norm=ObservationNorm(epsilon=1e-8),
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=0.01, target_entropy=-0.5, optimizer=AdamW(learning_rate=1e-4)),
        update_order="actor-first",
        utd=utd,
    )


SIMBA_SOURCES = dict.fromkeys(
    (
        "actor",
        "critic",
        "num_critics",
        "policy.log_std",
        "critic_loss",
        "observation_norm",
        "critic_optimizer",
        "actor_optimizer",
        "temperature",
        "update_order",
        "utd",
        "batch_size",
        "warmup_transitions",
    ),
    "SimBa code (arXiv 2410.09754)",
)
