"""XQC (Palenicek et al. 2025, arXiv 2509.25174)."""

from __future__ import annotations

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.critic_losses import CategoricalCrossEntropy
from surefoot.algorithms.parts import AdamW, LinearDecay, ReturnScaling, Temperature, UnitNorm
from surefoot.algorithms.presets.registry import cite, preset
from surefoot.algorithms.reductions import LowestMean
from surefoot.networks import MLP, BatchNorm


@preset(
    summary="Deep batch-normalised networks, unit norm everywhere, a categorical critic",
    paper="Palenicek et al. 2025 (XQC)",
    url="https://arxiv.org/abs/2509.25174",
    sources=cite(
        "XQC, arXiv 2509.25174, and its code",
        "actor critic target_reduction critic_pass critic_loss weight_constraint reward_scaling critic_optimizer "
        "actor_optimizer temperature utd policy_delay",
    )
    | cite(
        "not stated: as CrossQ + WN in the same code",
        "critic_optimizer.weight_decay actor_optimizer.weight_decay critic_optimizer.decay actor_optimizer.decay "
        "temperature.optimizer",
    ),
)
def xqc(utd: int = 2) -> Algorithm:
    """XQC: deep batch-normalised networks, unit norm everywhere, a categorical critic on scaled rewards.

    Args:
        utd: Gradient updates per agent step.
    """
    norm = BatchNorm(momentum=0.99, epsilon=1e-3)
    decay = LinearDecay(initial=3e-4, final=3e-5, agent_steps=500_000)  # over 1M env steps at action repeat 2
    optimizer = AdamW(learning_rate=decay, weight_decay=0.01, decay="unconstrained")
    return Algorithm(
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
