"""XQC: well-conditioned optimisation for deep reinforcement learning (Palenicek et al. 2025, arXiv 2509.25174)."""

from __future__ import annotations

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    CategoricalCrossEntropy,
    LinearDecay,
    LowestMean,
    ReturnScaling,
    Temperature,
    UnitNorm,
)
from surefoot.networks import MLP, BatchNorm


def xqc(utd: int = 2) -> Algorithm:
    """XQC: deeper batch-normalised networks, unit norm everywhere, a categorical critic on scaled rewards.

    Args:
        utd: gradient updates per agent step.
    """
    norm = BatchNorm(momentum=0.99, epsilon=1e-3)
    decay = LinearDecay(initial=3e-4, final=3e-5, agent_steps=500_000)  # over 1M env steps at action repeat 2
    optimizer = AdamW(learning_rate=decay, weight_decay=0.01, decay="unconstrained")
    return Algorithm(
        name="xqc",
        actor=MLP((256,) * 4, norm, norm_order="pre", bias=False),
        critic=MLP((512,) * 4, norm, norm_order="pre", bias=False),
        target_reduction=LowestMean(),
        critic_pass="joint",
        critic_loss=CategoricalCrossEntropy(num_atoms=101, low=-5.0, high=5.0),
        weight_constraint=UnitNorm(layers="all"),
        reward_scaling=ReturnScaling(),
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=0.01, target_entropy=-0.5, optimizer=AdamW(learning_rate=1e-4)),
        utd=utd,
        policy_delay=3,
    )


XQC_SOURCES = dict.fromkeys(
    (
        "actor",
        "critic",
        "target_reduction",
        "critic_pass",
        "critic_loss",
        "weight_constraint",
        "reward_scaling",
        "critic_optimizer",
        "actor_optimizer",
        "temperature",
        "utd",
        "policy_delay",
    ),
    "XQC, arXiv 2509.25174, and its code",
) | {
    "critic_optimizer.weight_decay": "not stated: as CrossQ + WN in the same code",
    "actor_optimizer.weight_decay": "not stated: as CrossQ + WN in the same code",
    "critic_optimizer.decay": "not stated: as CrossQ + WN in the same code",
    "actor_optimizer.decay": "not stated: as CrossQ + WN in the same code",
    "temperature.optimizer": "not stated: as CrossQ + WN in the same code",
}
