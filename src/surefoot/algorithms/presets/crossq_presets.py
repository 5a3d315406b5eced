"""CrossQ, CrossQ + WN and their relatives, as compositions.

T1 is Table 1 of the first version of *Scaling Off-Policy Reinforcement Learning with Batch and Weight Normalization*
(arXiv 2502.07523v1), R the hyperparameter table of its revision (v2), "code" the configuration that its authors
released with XQC.
"""

from __future__ import annotations

from surefoot.algorithms import (
    AdamW,
    Algorithm,
    DeterministicPolicy,
    First,
    LinearDecay,
    TanhGaussian,
    Temperature,
    UnitNorm,
)
from surefoot.networks import MLP, BatchNorm, BatchRenorm, LogStdRange


def crossq(utd: int = 1) -> Algorithm:
    """CrossQ as in T1: batch-normalised networks and a joint forward pass, with a target network.

    Args:
        utd: gradient updates per agent step.
    """
    norm = BatchNorm(momentum=0.99, epsilon=1e-3)
    optimizer = AdamW(learning_rate=1e-4)
    return Algorithm(
        name="crossq",
        actor=MLP((256, 256), norm),
        critic=MLP((512, 512), norm),
        critic_pass="joint",
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-1.0, optimizer=AdamW(learning_rate=1e-4)),
        utd=utd,
        policy_delay=3,
        batch_size=256,
        warmup_transitions=5_000,
    )


CROSSQ_SOURCES = {
    "actor": "T1",
    "actor.norm": "T1; epsilon: code",
    "critic": "T1",
    "critic.norm": "T1; epsilon: code",
    "actor.init": "code",
    "critic.init": "code",
    "critic_pass": "CrossQ, arXiv 1902.05605, section 3",
    "target": "T1 (CrossQ as first published has none)",
    "critic_loss.scale": "code",
    "critic_optimizer": "T1",
    "actor_optimizer": "T1",
    "temperature": "T1",
    "utd": "T1: 1 and 5",
    "policy_delay": "T1",
    "batch_size": "T1",
    "warmup_transitions": "T1",
    "policy.log_std": "code",
}


def crossq_wn(utd: int = 5) -> Algorithm:
    """CrossQ + WN as in T1: CrossQ with hidden layers projected to unit norm and weight decay on the rest.

    Args:
        utd: gradient updates per agent step.
    """
    optimizer = AdamW(learning_rate=1e-4, weight_decay=0.01, decay="unconstrained")
    return crossq(utd).replace(
        name="crossq-wn",
        weight_constraint=UnitNorm(),
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
    )


CROSSQ_WN_SOURCES = CROSSQ_SOURCES | {
    "weight_constraint": "T1, section 4; bias included: code",
    "critic_optimizer.decay": "code",
    "actor_optimizer.decay": "code",
    "utd": "T1: 1 and 5; Fig. 4: 1, 2, 5",
}


def crossq_wn_r(utd: int = 5) -> Algorithm:
    """CrossQ + WN as in the revision: a higher learning rate and half the target entropy.

    Args:
        utd: gradient updates per agent step.
    """
    optimizer = AdamW(learning_rate=3e-4, weight_decay=0.01, decay="unconstrained")
    return crossq_wn(utd).replace(
        name="crossq-wn-r",
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-0.5, optimizer=AdamW(learning_rate=1e-4)),
    )


CROSSQ_WN_R_SOURCES = CROSSQ_WN_SOURCES | {
    "critic_optimizer": "R",
    "actor_optimizer": "R",
    "temperature": "R",
    "utd": "R: table 1 and 5, figures to 20",
}


def crossq_wn_code(utd: int = 2) -> Algorithm:
    """CrossQ + WN as its authors released it, in the configuration of that name in their XQC code.

    It starts with a hundredth of the papers' temperature, which is what lets it learn within tens of thousands of
    environment steps at a low UTD: log alpha moves by at most its learning rate per policy update, so that from 1.0
    the papers' settings (1e-4, every third update) need 138,000 updates to come down to 0.01.

    Args:
        utd: gradient updates per agent step.
    """
    decay = LinearDecay(initial=3e-4, final=3e-5, agent_steps=500_000)  # over 1M env steps at action repeat 2
    optimizer = AdamW(learning_rate=decay, weight_decay=0.01, decay="unconstrained")
    return crossq_wn(utd).replace(
        name="crossq-wn-code",
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=0.01, target_entropy=-0.5, optimizer=AdamW(learning_rate=1e-4)),
    )


CROSSQ_WN_CODE_SOURCES = CROSSQ_WN_SOURCES | {
    "critic_optimizer": "code",
    "actor_optimizer": "code",
    "temperature": "code",
    "utd": "code",
}


def crossq_2024(utd: int = 1) -> Algorithm:
    """CrossQ as first published (Bhatt et al. 2024): no target network, batch renormalisation, a wide critic.

    Args:
        utd: gradient updates per agent step.
    """
    norm = BatchRenorm(momentum=0.99, epsilon=1e-3, max_scale=3.0, max_shift=5.0, warmup_updates=100_000)
    optimizer = AdamW(learning_rate=1e-3, b1=0.5)
    return Algorithm(
        name="crossq-2024",
        actor=MLP((256, 256), norm, init="lecun"),
        critic=MLP((2048, 2048), norm, init="lecun"),
        policy=TanhGaussian(LogStdRange(low=-20.0, high=2.0)),
        target=None,
        critic_pass="joint",
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-1.0, optimizer=AdamW(learning_rate=1e-3)),
        utd=utd,
        policy_delay=3,
        batch_size=256,
        warmup_transitions=5_000,
        action_repeat=1,
    )


CROSSQ_2024_SOURCES = dict.fromkeys(
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
        "action_repeat",
        "target",
        "critic_pass",
    ),
    "arXiv 1902.05605 and its code",
) | {"actor.init": "its code", "critic.init": "its code", "policy.log_std": "its code", "critic_loss.scale": "its code"}


def td3_wn(utd: int = 5) -> Algorithm:
    """CrossQ + WN's networks on TD3 (Fujimoto et al. 2018): a deterministic policy with smoothed targets.

    The revision shows that batch and weight normalisation carry over to TD3, without values. As in CrossQ + WN, the
    next action comes from the current actor in evaluation mode, not from a target actor.

    Args:
        utd: gradient updates per agent step.
    """
    return crossq_wn(utd).replace(
        name="td3-wn",
        policy=DeterministicPolicy(exploration_noise=0.1, target_noise=0.2, target_noise_bound=0.5),
        policy_reduction=First(),
        temperature=None,
    )


TD3_WN_SOURCES = {name: source for name, source in CROSSQ_WN_SOURCES.items() if not name.startswith("policy.")} | {
    "policy": "TD3, arXiv 1802.09477, section 6",
    "policy_reduction": "TD3, arXiv 1802.09477, algorithm 1",
    "temperature": "none: a deterministic policy has no entropy",
}
