"""XQC (Palenicek et al. 2025, arXiv 2509.25174)."""

from __future__ import annotations

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.critic_losses import CategoricalCrossEntropy
from surefoot.algorithms.parts import AdamW, ReturnScaling, Temperature, UnitNorm
from surefoot.algorithms.presets.crossq import released_decay
from surefoot.algorithms.presets.registry import cite, preset
from surefoot.algorithms.reductions import LowestMean
from surefoot.networks import MLP, BatchNorm
from surefoot.whole_numbers import Ratio, ratio


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
        "XQC's code: one step per policy update",
        "actor_optimizer.learning_rate temperature.optimizer.learning_rate",
    )
    | {"actor_statistics": "XQC's code"},
)
def xqc(utd: Ratio = 2) -> Algorithm:
    """XQC: deep batch-normalised networks, unit norm everywhere, a categorical critic on scaled rewards.

    Args:
        utd: Gradient updates per agent step.
    """
    norm = BatchNorm(momentum=0.99, epsilon=1e-3)
    return Algorithm(
        actor=MLP((256,) * 4, norm, norm_order="pre", bias=False),
        critic=MLP((512,) * 4, norm, norm_order="pre", bias=False),
        target_reduction=LowestMean(),
        critic_pass="joint",
        critic_loss=CategoricalCrossEntropy(num_atoms=101, low=-5.0, high=5.0),
        weight_constraint=UnitNorm(layers="all"),
        reward_scaling=ReturnScaling(),
        critic_optimizer=AdamW(released_decay()),
        actor_optimizer=AdamW(released_decay(policy_delay=3)),
        actor_statistics="all-updates",
        temperature=Temperature(initial=0.01, target_entropy=-0.5, optimizer=AdamW(released_decay(policy_delay=3))),
        utd=ratio("utd", utd),
        policy_delay=3,
    )
