"""CrossQ, CrossQ + WN and their relatives.

Sources: T1 is Table 1 of the first version of *Scaling Off-Policy Reinforcement Learning with Batch and Weight
Normalization* (arXiv 2502.07523v1), R the hyperparameter table of its revision (v2), "code" the configuration that the
authors released with XQC.
"""

from __future__ import annotations

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.parts import AdamW, LinearDecay, Temperature, UnitNorm
from surefoot.algorithms.policies import DeterministicPolicy, TanhGaussian
from surefoot.algorithms.presets.registry import cite, preset
from surefoot.algorithms.reductions import First
from surefoot.networks import MLP, BatchNorm, BatchRenorm, LogStdRange
from surefoot.whole_numbers import Ratio, ratio

_URL = "https://arxiv.org/abs/2502.07523"

_CROSSQ_SOURCES = (
    cite("T1", "actor critic critic_optimizer actor_optimizer temperature policy_delay batch_size warmup_transitions")
    | cite("T1; epsilon: code", "actor.norm critic.norm")
    | cite("code", "actor.init critic.init critic_loss.scale policy.log_std")
    | {
        "critic_pass": "CrossQ, arXiv 1902.05605, section 3",
        "target": "T1 (CrossQ as first published has none)",
        "utd": "T1: 1 and 5",
    }
)
_CROSSQ_WN_SOURCES = (
    _CROSSQ_SOURCES
    | cite("code", "critic_optimizer.decay actor_optimizer.decay")
    | {"weight_constraint": "T1, section 4; bias included: code", "utd": "T1: 1 and 5; Fig. 4: 1, 2, 5"}
)


@preset(
    summary="Batch-normalised SAC with a joint forward pass and a target network",
    paper="Palenicek et al. 2025 (v1, Table 1); Bhatt et al. 2024",
    url=_URL,
    sources=_CROSSQ_SOURCES,
)
def crossq(utd: Ratio = 1) -> Algorithm:
    """CrossQ as in T1: batch-normalised networks and a joint forward pass, with a target network.

    Args:
        utd: Gradient updates per agent step.
    """
    norm = BatchNorm(momentum=0.99, epsilon=1e-3)
    optimizer = AdamW(learning_rate=1e-4)
    return Algorithm(
        actor=MLP((256, 256), norm),
        critic=MLP((512, 512), norm),
        critic_pass="joint",
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-1.0, optimizer=AdamW(learning_rate=1e-4)),
        utd=ratio("utd", utd),
        policy_delay=3,
        batch_size=256,
        warmup_transitions=5_000,
    )


@preset(
    summary="CrossQ + WN as in Table 1, for long runs; short ones learn faster with crossq-wn-code",
    paper="Palenicek et al. 2025 (v1, Table 1)",
    url=_URL,
    sources=_CROSSQ_WN_SOURCES,
)
def crossq_wn(utd: Ratio = 5) -> Algorithm:
    """CrossQ + WN as in T1: CrossQ with hidden layers projected to unit norm and weight decay on the rest.

    Its temperature takes 138,000 updates to fall from 1.0 to 0.01; shorter runs learn faster with ``crossq_wn_code``.

    Args:
        utd: Gradient updates per agent step.
    """
    optimizer = AdamW(learning_rate=1e-4, weight_decay=0.01, decay="outside-hidden")
    return crossq(utd).replace(
        weight_constraint=UnitNorm(),
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
    )


@preset(
    summary="CrossQ + WN with the revision's learning rate and target entropy",
    paper="Palenicek et al. 2025 (v2)",
    url=_URL,
    sources=_CROSSQ_WN_SOURCES
    | cite("R", "critic_optimizer actor_optimizer temperature")
    | {"utd": "R: table 1 and 5, figures to 20"},
)
def crossq_wn_r(utd: Ratio = 5) -> Algorithm:
    """CrossQ + WN as in the revision: a higher learning rate and half the target entropy.

    Args:
        utd: Gradient updates per agent step.
    """
    optimizer = AdamW(learning_rate=3e-4, weight_decay=0.01, decay="outside-hidden")
    return crossq_wn(utd).replace(
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-0.5, optimizer=AdamW(learning_rate=1e-4)),
    )


@preset(
    summary="CrossQ + WN as its authors released it, the default: low initial temperature, falling learning rate",
    paper="Palenicek et al. 2025 (released with XQC, arXiv 2509.25174)",
    url=_URL,
    sources=_CROSSQ_WN_SOURCES
    | cite("code", "critic_optimizer actor_optimizer temperature actor_statistics utd")
    | {"weight_constraint": "code, where the option that excludes the heads has no effect"}
    | cite("code: one step per policy update", "actor_optimizer.learning_rate temperature.optimizer.learning_rate"),
)
def crossq_wn_code(utd: Ratio = 2) -> Algorithm:
    """CrossQ + WN as its authors released it, in the configuration of that name in their XQC code.

    Its initial temperature is a hundredth of the papers', which lets it learn within tens of thousands of environment
    steps at a low UTD: log alpha changes by at most its learning rate per policy update, so that from 1.0 the papers'
    settings (1e-4, every third update) need 138,000 updates to reach 0.01.

    The code also differs from the papers in that it projects the heads' kernels (after their decay), updates the
    actor's running statistics in every update, and counts the learning rates of actor and temperature in their own
    steps.

    Args:
        utd: Gradient updates per agent step.
    """
    return crossq_wn(utd).replace(
        weight_constraint=UnitNorm("all"),
        actor_statistics="all-updates",
        critic_optimizer=AdamW(released_decay(), weight_decay=0.01, decay="outside-hidden"),
        actor_optimizer=AdamW(released_decay(policy_delay=3), weight_decay=0.01, decay="outside-hidden"),
        temperature=Temperature(initial=0.01, target_entropy=-0.5, optimizer=AdamW(released_decay(policy_delay=3))),
    )


def released_decay(policy_delay: int = 1) -> LinearDecay:
    """Return the learning rate of XQC's code, whose length is that of 1M env steps at action repeat 2.

    Args:
        policy_delay: Updates per step of the optimiser: the length is counted in steps, one per update.
    """
    return LinearDecay(initial=3e-4, final=3e-5, agent_steps=500_000 * policy_delay)


@preset(
    summary="CrossQ as first published: no target network, batch renormalisation, a wide critic",
    paper="Bhatt et al. 2024",
    url="https://arxiv.org/abs/1902.05605",
    sources=cite(
        "arXiv 1902.05605 and its code",
        "actor critic critic_optimizer actor_optimizer temperature utd policy_delay batch_size warmup_transitions "
        "action_repeat target critic_pass",
    )
    | cite("its code", "actor.init critic.init policy.log_std critic_loss.scale")
    | cite(
        "its code on DM Control; 1e-3 on MuJoCo",
        "critic_optimizer.learning_rate actor_optimizer.learning_rate temperature.optimizer.learning_rate",
    ),
)
def crossq_2024(utd: Ratio = 1, learning_rate: float = 8e-4) -> Algorithm:
    """CrossQ as first published (Bhatt et al. 2024): no target network, batch renormalisation, a wide critic.

    Args:
        utd: Gradient updates per agent step.
        learning_rate: Learning rate of actor, critic and temperature: the authors use 8e-4 on DM Control and 1e-3 on
            Gymnasium's MuJoCo tasks.
    """
    norm = BatchRenorm(momentum=0.99, epsilon=1e-3, max_scale=3.0, max_shift=5.0, warmup_updates=100_000)
    optimizer = AdamW(learning_rate, b1=0.5)
    return Algorithm(
        actor=MLP((256, 256), norm, init="lecun"),
        critic=MLP((2048, 2048), norm, init="lecun"),
        policy=TanhGaussian(LogStdRange(low=-20.0, high=2.0)),
        target=None,
        critic_pass="joint",
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-1.0, optimizer=AdamW(learning_rate)),
        utd=ratio("utd", utd),
        policy_delay=3,
        batch_size=256,
        warmup_transitions=5_000,
        action_repeat=1,
    )


@preset(
    summary="CrossQ + WN's networks on TD3: a deterministic policy",
    paper="Palenicek et al. 2025 (v2); Fujimoto et al. 2018",
    url=_URL,
    sources={name: source for name, source in _CROSSQ_WN_SOURCES.items() if name != "policy.log_std"}
    | {
        "policy": "TD3, arXiv 1802.09477, section 6",
        "policy_reduction": "TD3, arXiv 1802.09477, algorithm 1",
        "temperature": "none: a deterministic policy has no entropy",
    },
)
def td3_wn(utd: Ratio = 5) -> Algorithm:
    """CrossQ + WN's networks on TD3 (Fujimoto et al. 2018): a deterministic policy with smoothed targets.

    The revision shows that batch and weight normalisation carry over to TD3, without values. As in CrossQ + WN, the
    next action comes from the current actor in evaluation mode, not from a target actor.

    Args:
        utd: Gradient updates per agent step.
    """
    return crossq_wn(utd).replace(
        policy=DeterministicPolicy(exploration_noise=0.1, target_noise=0.2, target_noise_bound=0.5),
        policy_reduction=First(),
        temperature=None,
    )
