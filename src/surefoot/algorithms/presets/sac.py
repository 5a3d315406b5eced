"""Soft actor-critic, the neutral setting of the learner."""

from __future__ import annotations

from surefoot.algorithms.config import AdamW, Algorithm, Temperature
from surefoot.networks import MLP


def sac(utd: int = 1) -> Algorithm:
    """SAC as in Table 1 of arXiv 2502.07523v1 (T1); the algorithm is Haarnoja et al., arXiv 1812.05905.

    Args:
        utd: critic updates per agent step.
    """
    optimizer = AdamW(learning_rate=3e-4)  # T1: Adam
    return Algorithm(
        name="sac",
        actor=MLP((256, 256)),  # T1
        critic=MLP((256, 256)),  # T1
        critic_optimizer=optimizer,
        actor_optimizer=optimizer,
        temperature=Temperature(initial=1.0, target_entropy=-1.0, optimizer=optimizer),  # T1
        utd=utd,
        policy_delay=1,  # T1
        batch_size=256,  # T1
        warmup_transitions=10_000,  # T1
    )
