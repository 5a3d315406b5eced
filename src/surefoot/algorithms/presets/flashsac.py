"""FlashSAC (arXiv 2604.04539), following the authors' code."""

from __future__ import annotations

import math

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.critic_losses import CategoricalCrossEntropy
from surefoot.algorithms.parts import (
    AdamW,
    BoundedReturnScaling,
    CosineDecay,
    FullUnitNorm,
    HeldNoise,
    PolyakTarget,
    Temperature,
)
from surefoot.algorithms.policies import TanhGaussian
from surefoot.algorithms.presets.registry import cite, preset
from surefoot.algorithms.reductions import LowestMean
from surefoot.networks import FlashSACNet, LogStdRange
from surefoot.whole_numbers import Ratio, ratio

_CODE = "FlashSAC code (arXiv 2604.04539)"
_POLICY_DELAY = 2
_TARGET_STD = 0.15


@preset(
    summary="Inverted residual blocks, projected normalisations, bounded rewards, held exploration noise",
    paper="FlashSAC, 2026",
    url="https://arxiv.org/abs/2604.04539",
    sources=cite(
        _CODE,
        "actor critic policy.log_std target.tau target_reduction critic_pass actor_pass critic_loss weight_constraint "
        "held_noise reward_scaling critic_optimizer actor_optimizer temperature update_order policy_delay batch_size "
        "warmup_transitions discount action_repeat",
    )
    | {"temperature.target_entropy": f"{_CODE}: entropy of a Gaussian with standard deviation 0.15"}
    | cite(
        f"{_CODE}: a run of 1M agent steps; each optimiser by its own steps",
        "critic_optimizer.learning_rate actor_optimizer.learning_rate temperature.optimizer.learning_rate",
    ),
)
def flashsac(utd: Ratio = 1) -> Algorithm:
    """FlashSAC as its authors run it with one simulator on a CPU.

    Every array that has a direction has a fixed norm, so that the learning rate alone sets how fast directions change;
    rewards are scaled so that no return exceeds the critic's support, and exploration noise is kept for up to 16
    decisions.

    Args:
        utd: Gradient updates per agent step.
    """

    def optimizer(delay: int) -> AdamW:
        return AdamW(CosineDecay(initial=3e-4, final=1.5e-4, agent_steps=1_000_000 * delay))

    return Algorithm(
        actor=FlashSACNet(width=128),
        critic=FlashSACNet(width=256),
        policy=TanhGaussian(LogStdRange(-10.0, 2.0, "tanh")),
        target=PolyakTarget(0.01),
        target_reduction=LowestMean(),
        critic_pass="joint",
        actor_pass="joint",
        critic_loss=CategoricalCrossEntropy(num_atoms=101, low=-5.0, high=5.0, over_critics="mean"),
        weight_constraint=FullUnitNorm(),
        held_noise=HeldNoise(exponent=2.0, max_decisions=16),
        reward_scaling=BoundedReturnScaling(bound=5.0, epsilon=1e-8),
        critic_optimizer=optimizer(1),
        actor_optimizer=optimizer(_POLICY_DELAY),
        temperature=Temperature(
            initial=0.01,
            target_entropy=0.5 * math.log(2.0 * math.pi * math.e * _TARGET_STD**2),
            optimizer=optimizer(_POLICY_DELAY),
        ),
        update_order="actor-first",
        utd=ratio("utd", utd),
        policy_delay=_POLICY_DELAY,
        batch_size=512,
        warmup_transitions=10_000,
        discount=0.99,
        action_repeat=1,
    )
