"""BRO (Nauman et al. 2024, arXiv 2405.16158), following the authors' code."""

from __future__ import annotations

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.critic_losses import QuantileHuber
from surefoot.algorithms.parts import AdamW, OptimisticActor, ResetAt, Temperature
from surefoot.algorithms.policies import TanhGaussian
from surefoot.algorithms.presets.registry import cite, preset
from surefoot.algorithms.reductions import Mean
from surefoot.networks import BroNet, LogStdRange
from surefoot.whole_numbers import Ratio, ratio

_RESETS = (15_001, 50_001, 250_001, 500_001, 750_001, 1_000_001, 1_500_001, 2_000_001)


@preset(
    summary="Big regularised quantile critics, resets, optimistic exploration",
    paper="Nauman et al. 2024",
    url="https://arxiv.org/abs/2405.16158",
    sources=cite(
        "BRO code (arXiv 2405.16158)",
        "actor critic policy.log_std target_reduction policy_reduction critic_loss resets optimism critic_optimizer "
        "actor_optimizer temperature utd batch_size warmup_transitions discount action_repeat",
    ),
)
def bro(utd: Ratio = 10) -> Algorithm:
    """BRO; at UTD 2, its "fast" setting, it resets once.

    Args:
        utd: Gradient updates per agent step.
    """
    utd, optimizer = ratio("utd", utd), AdamW(learning_rate=3e-4, weight_decay=1e-4)
    return Algorithm(
        actor=BroNet(256, 1),
        critic=BroNet(512, 2),
        policy=TanhGaussian(LogStdRange(mapping="tanh")),
        target_reduction=Mean(),
        policy_reduction=Mean(),
        critic_loss=QuantileHuber(num_quantiles=100, kappa=1.0),
        resets=ResetAt(_RESETS[:1] if utd == 2 else _RESETS),
        optimism=OptimisticActor(
            torso=BroNet(256, 1),
            optimizer=optimizer,
            std_scale=0.75,
            initial_optimism=1.0,
            initial_kl_weight=0.25,
            target_kl=0.05,
            weight_optimizer=AdamW(learning_rate=3e-5, b1=0.5),
        ),
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-0.5, optimizer=AdamW(learning_rate=3e-4, b1=0.5)),
        utd=utd,
        batch_size=128,
        warmup_transitions=2_500,
        discount=0.99,
        action_repeat=1,
    )
