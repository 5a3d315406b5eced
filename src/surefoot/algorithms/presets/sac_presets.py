"""Soft actor-critic and the baselines that scale it: SR-SAC, REDQ, DroQ."""

from __future__ import annotations

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    Mean,
    RandomSubsetMin,
    ResetEvery,
    SquaredError,
    TanhGaussian,
    Temperature,
)
from surefoot.networks import MLP, LayerNorm, LogStdRange


def sac(utd: int = 1) -> Algorithm:
    """SAC as in Table 1 of arXiv 2502.07523v1 (T1); the algorithm is Haarnoja et al., arXiv 1812.05905.

    Args:
        utd: gradient updates per agent step.
    """
    optimizer = AdamW(learning_rate=3e-4)
    return Algorithm(
        name="sac",
        actor=MLP((256, 256)),
        critic=MLP((256, 256)),
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-1.0, optimizer=optimizer),
        utd=utd,
        policy_delay=1,
        batch_size=256,
        warmup_transitions=10_000,
    )


SAC_SOURCES = dict.fromkeys(
    (
        "actor",
        "critic",
        "critic_optimizer",
        "actor_optimizer",
        "temperature",
        "utd",
        "policy_delay",
        "batch_size",
        "warmup_transitions",
    ),
    "T1",
) | {"actor.init": "not stated: orthogonal, as in CrossQ's family", "critic.init": "not stated: as the actor's"}


def sr_sac(utd: int = 32) -> Algorithm:
    """SAC with a high replay ratio and full resets (D'Oro et al. 2023), by its authors' code.

    The interval between resets is held in gradient updates, which is what the authors hold constant; T1's "every 80k
    steps" is the same at UTD 32 and action repeat 1.

    Args:
        utd: gradient updates per agent step.
    """
    return sac(utd).replace(
        name="sr-sac",
        policy=TanhGaussian(LogStdRange(mapping="tanh")),
        critic_loss=SquaredError(scale=1.0),
        resets=ResetEvery(grad_steps=2_560_000),
        temperature=Temperature(initial=1.0, target_entropy=-0.5, optimizer=AdamW(learning_rate=3e-4)),
        action_repeat=1,
    )


SR_SAC_SOURCES = dict.fromkeys(
    (*SAC_SOURCES, "policy.log_std", "critic_loss", "resets", "action_repeat"),
    "SR-SAC code (Table 1 of its paper, OpenReview OpC-9aBBVJe)",
)


def redq(utd: int = 20) -> Algorithm:
    """Randomised ensembled double Q-learning (Chen et al. 2021): ten critics, the least of a random two as target.

    The policy moves once per agent step, after its last critic update, at every UTD (algorithm 1 of the paper).

    Args:
        utd: gradient updates per agent step; the policy delay follows it.
    """
    return sac(utd).replace(
        name="redq",
        num_critics=10,
        policy=TanhGaussian(LogStdRange(low=-20.0)),
        target_reduction=RandomSubsetMin(size=2),
        policy_reduction=Mean(),
        critic_loss=SquaredError(scale=1.0),
        policy_delay=utd,
        warmup_transitions=5_000,
    )


REDQ_SOURCES = dict.fromkeys(
    (*SAC_SOURCES, "num_critics", "target_reduction", "policy_reduction", "critic_loss", "policy.log_std"),
    "REDQ, arXiv 2101.05982, and its code",
) | {
    "policy_delay": "as the UTD: REDQ, arXiv 2101.05982, algorithm 1",
    "temperature.target_entropy": "-A on DM Control, as SAC",
    "actor.init": "here as SAC; its code draws Xavier's uniform",
    "critic.init": "here as SAC; its code draws Xavier's uniform",
}


def droq(utd: int = 20) -> Algorithm:
    """Dropout Q-functions (Hiraoka et al. 2022): two critics with dropout and layer normalisation.

    The policy moves once per agent step, as in REDQ.

    Args:
        utd: gradient updates per agent step; the policy delay follows it.
    """
    return redq(utd).replace(
        name="droq",
        critic=MLP((256, 256), LayerNorm(), norm_order="pre", dropout=0.01),
        num_critics=2,
    )


DROQ_SOURCES = dict.fromkeys(REDQ_SOURCES, "DroQ, arXiv 2110.02034, and its code") | {
    "policy_delay": "as the UTD: DroQ, arXiv 2110.02034, and its code",
    **{name: REDQ_SOURCES[name] for name in ("temperature.target_entropy", "actor.init", "critic.init")},
}
