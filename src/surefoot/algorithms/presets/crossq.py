"""CrossQ and CrossQ + WN, as compositions.

T1 is Table 1 of the first version of *Scaling Off-Policy Reinforcement Learning with Batch and Weight Normalization*
(arXiv 2502.07523v1), R the hyperparameter table of its revision (v2), "code" the configuration that its authors
released with XQC.
"""

from __future__ import annotations

from surefoot.algorithms.config import AdamW, Algorithm, LinearDecay, Temperature, UnitNorm
from surefoot.networks import MLP, BatchNorm


def crossq(utd: int = 1) -> Algorithm:
    """CrossQ as in T1: batch-normalised networks and a joint forward pass, with a target network.

    Args:
        utd: critic updates per agent step.
    """
    norm = BatchNorm(momentum=0.99, epsilon=1e-3)  # T1; epsilon: code
    optimizer = AdamW(learning_rate=1e-4)  # T1: Adam
    return Algorithm(
        name="crossq",
        actor=MLP((256, 256), norm),  # T1
        critic=MLP((512, 512), norm),  # T1
        critic_pass="joint",  # CrossQ, arXiv 1902.05605, section 3
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-1.0, optimizer=AdamW(learning_rate=1e-4)),  # T1
        utd=utd,
        policy_delay=3,  # T1
        batch_size=256,  # T1
        warmup_transitions=5_000,  # T1
    )


def crossq_wn(utd: int = 5) -> Algorithm:
    """CrossQ + WN as in T1: CrossQ with hidden layers projected to unit norm and weight decay on the rest.

    Args:
        utd: critic updates per agent step.
    """
    optimizer = AdamW(learning_rate=1e-4, weight_decay=0.01, decay="unconstrained")  # T1; which parameters: code
    return crossq(utd).replace(
        name="crossq-wn",
        weight_constraint=UnitNorm(),  # T1, section 4
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
    )


def crossq_wn_r(utd: int = 5) -> Algorithm:
    """CrossQ + WN as in the revision: a higher learning rate and half the target entropy.

    Args:
        utd: critic updates per agent step.
    """
    optimizer = AdamW(learning_rate=3e-4, weight_decay=0.01, decay="unconstrained")  # R
    return crossq_wn(utd).replace(
        name="crossq-wn-r",
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-0.5, optimizer=AdamW(learning_rate=1e-4)),  # R
    )


def crossq_wn_code(utd: int = 2) -> Algorithm:
    """CrossQ + WN as its authors released it, in the configuration of that name in their XQC code.

    It starts with a hundredth of the papers' temperature, which is what lets it learn within tens of thousands of
    environment steps at a low UTD: log alpha moves by at most its learning rate per policy update, so that from 1.0
    the papers' settings (1e-4, every third update) need 138,000 updates to come down to 0.01.

    Args:
        utd: critic updates per agent step.
    """
    decay = LinearDecay(initial=3e-4, final=3e-5, agent_steps=500_000)  # code: over 1M env steps at action repeat 2
    optimizer = AdamW(learning_rate=decay, weight_decay=0.01, decay="unconstrained")  # code
    return crossq_wn(utd).replace(
        name="crossq-wn-code",
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=0.01, target_entropy=-0.5, optimizer=AdamW(learning_rate=1e-4)),  # code
    )
