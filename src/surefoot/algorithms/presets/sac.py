"""SAC and its high-UTD descendants: SR-SAC, REDQ and DroQ."""

from __future__ import annotations

import math

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.critic_losses import SquaredError
from surefoot.algorithms.parts import AdamW, ResetEvery, Temperature
from surefoot.algorithms.policies import TanhGaussian
from surefoot.algorithms.presets.registry import cite, preset
from surefoot.algorithms.reductions import Mean, RandomSubsetMin
from surefoot.networks import MLP, LayerNorm, LogStdRange
from surefoot.whole_numbers import Ratio, ratio

_SAC_FIELDS = (
    "actor critic actor.init critic.init critic_optimizer actor_optimizer temperature utd policy_delay batch_size "
    "warmup_transitions"
)
_REDQ_FIELDS = f"{_SAC_FIELDS} num_critics target_reduction policy_reduction critic_loss policy.log_std"
_REDQ_DEVIATIONS = {
    "temperature.target_entropy": "-A on DM Control, as SAC",
    **cite("here as SAC; its code uses Xavier uniform", "actor.init critic.init"),
}


@preset(
    summary="Soft actor-critic",
    paper="Palenicek et al. 2025 (v1, Table 1); Haarnoja et al. 2018",
    url="https://arxiv.org/abs/2502.07523",
    sources=cite("T1", _SAC_FIELDS)
    | {"actor.init": "not stated: orthogonal, as in CrossQ's family", "critic.init": "not stated: as the actor's"},
)
def sac(utd: Ratio = 1) -> Algorithm:
    """SAC as in Table 1 of arXiv 2502.07523v1 (T1); the algorithm is Haarnoja et al., arXiv 1812.05905.

    Args:
        utd: Gradient updates per agent step.
    """
    optimizer = AdamW(learning_rate=3e-4)
    return Algorithm(
        actor=MLP((256, 256)),
        critic=MLP((256, 256)),
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-1.0, optimizer=optimizer),
        utd=ratio("utd", utd),
        policy_delay=1,
        batch_size=256,
        warmup_transitions=10_000,
    )


@preset(
    summary="SAC at UTD 32 with full resets",
    paper="D'Oro et al. 2023",
    url="https://openreview.net/forum?id=OpC-9aBBVJe",
    sources=cite(
        "SR-SAC code (Table 1 of its paper, OpenReview OpC-9aBBVJe)",
        f"{_SAC_FIELDS} policy.log_std critic_loss discount action_repeat",
    )
    | {"resets": "the script of the published curves (rl_with_resets), for UTD 32"},
)
def sr_sac(utd: Ratio = 32) -> Algorithm:
    """SAC with a high replay ratio and full resets (D'Oro et al. 2023), following its authors' code.

    Resets fall on multiples of 80,000 environment steps from the start of the run, as in the script of the published
    curves.

    Args:
        utd: Gradient updates per agent step.
    """
    return sac(utd).replace(
        policy=TanhGaussian(LogStdRange(mapping="tanh")),
        critic_loss=SquaredError(scale=1.0),
        resets=ResetEvery(env_steps=80_000),
        temperature=Temperature(initial=1.0, target_entropy=-0.5, optimizer=AdamW(learning_rate=3e-4)),
        discount=0.99,
        action_repeat=1,
    )


@preset(
    summary="SAC with ten critics, of which a random two make the target",
    paper="Chen et al. 2021",
    url="https://arxiv.org/abs/2101.05982",
    sources=cite("REDQ, arXiv 2101.05982, and its code", _REDQ_FIELDS)
    | {"policy_delay": "equal to the UTD: REDQ, arXiv 2101.05982, algorithm 1"}
    | _REDQ_DEVIATIONS,
)
def redq(utd: Ratio = 20) -> Algorithm:
    """Randomised ensembled double Q-learning (Chen et al. 2021): the target is the minimum of a random two of ten.

    The policy is updated once per agent step, after its last critic update (algorithm 1 of the paper).

    Args:
        utd: Gradient updates per agent step, and the policy delay.
    """
    base = sac(utd)
    return base.replace(
        num_critics=10,
        policy=TanhGaussian(LogStdRange(low=-20.0)),
        target_reduction=RandomSubsetMin(size=2),
        policy_reduction=Mean(),
        critic_loss=SquaredError(scale=1.0),
        temperature=Temperature(
            initial=1.0, target_entropy=-1.0, loss="log-alpha", optimizer=AdamW(learning_rate=3e-4)
        ),
        policy_delay=math.ceil(base.utd),
        warmup_transitions=5_000,
    )


@preset(
    summary="SAC with dropout and layer normalisation in two critics",
    paper="Hiraoka et al. 2022",
    url="https://arxiv.org/abs/2110.02034",
    sources=cite("DroQ, arXiv 2110.02034, and its code", _REDQ_FIELDS)
    | {"policy_delay": "equal to the UTD: DroQ, arXiv 2110.02034, and its code"}
    | _REDQ_DEVIATIONS,
)
def droq(utd: Ratio = 20) -> Algorithm:
    """Dropout Q-functions (Hiraoka et al. 2022): two critics with dropout and layer normalisation.

    The policy is updated once per agent step, as in REDQ.

    Args:
        utd: Gradient updates per agent step, and the policy delay.
    """
    return redq(utd).replace(
        critic=MLP((256, 256), LayerNorm(epsilon=1e-5), norm_order="pre", dropout=0.01),
        num_critics=2,
    )
