"""SimBa (Lee et al. 2025, arXiv 2410.09754), following the authors' code."""

from __future__ import annotations

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.critic_losses import SquaredError
from surefoot.algorithms.parts import AdamW, ObservationNorm, Temperature
from surefoot.algorithms.policies import TanhGaussian
from surefoot.algorithms.presets.registry import cite, preset
from surefoot.networks import LogStdRange, SimBaNet
from surefoot.whole_numbers import Ratio, ratio


@preset(
    summary="Residual layer-normalised networks on normalised observations",
    paper="Lee et al. 2025",
    url="https://arxiv.org/abs/2410.09754",
    sources=cite(
        "SimBa code (arXiv 2410.09754)",
        "actor critic num_critics policy.log_std critic_loss observation_norm critic_optimizer actor_optimizer "
        "temperature update_order utd batch_size warmup_transitions",
    ),
)
def simba(utd: Ratio = 2) -> Algorithm:
    """SimBa with SAC and one critic, as its authors run it on DM Control and MyoSuite.

    On suites with early termination they use two critics and their minimum: ``simba().replace(num_critics=2)``.

    Args:
        utd: Gradient updates per agent step.
    """
    optimizer = AdamW(learning_rate=1e-4, weight_decay=0.01)
    return Algorithm(
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
        utd=ratio("utd", utd),
    )
