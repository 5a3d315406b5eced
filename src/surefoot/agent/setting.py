"""Settings and progress of an agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, SupportsIndex

from surefoot import replay
from surefoot.agent.spaces import Spaces
from surefoot.algorithms import Algorithm
from surefoot.algorithms.presets import as_algorithm
from surefoot.errors import UserError
from surefoot.machine import (
    Precision,
    PrecisionChoice,
    device_name,
    free_device_memory,
    resolve_precision,
    start_jax,
)
from surefoot.types import EnvSpec
from surefoot.whole_numbers import whole_number

_DISCOUNT = 0.99
_MAX_TRANSITIONS = 2**30
"""Counters on the device are 32 bits wide."""
_MAX_UPDATES = 2**20


@dataclass(frozen=True)
class AgentSetting:
    """Validated settings of an agent; see ``Agent``.

    Attributes:
        algorithm: Algorithm and its hyperparameters.
        spaces: Observation and action space.
        seed: Seed of all random numbers.
        replay_capacity: Number of transitions kept.
        discount: Discount factor per decision.
        task: Task name stored in the policy's file.
        precision: Precision of matrix products in updates.
    """

    algorithm: Algorithm
    spaces: Spaces
    seed: int
    replay_capacity: int
    discount: float
    task: str
    precision: Precision

    @property
    def env_spec(self) -> EnvSpec:
        """Sizes of flat observations and actions."""
        spaces = self.spaces.described
        return EnvSpec(spaces.observation_size, spaces.action.size, spaces.stored_dtype)

    @property
    def frames(self) -> int:
        """Number of observations kept."""
        return replay.frame_capacity(self.replay_capacity, None)

    def check_memory(self) -> None:
        """Validate that the replay buffer fits into the device's free memory, before it is allocated.

        Raises:
            UserError: It does not fit; the message has the estimate.
        """
        needed, free = replay.nbytes(self.env_spec, self.replay_capacity, self.frames), free_device_memory()
        if needed > free:
            raise UserError(
                f"the replay buffer needs {needed / 1e9:.1f} GB ({self.replay_capacity:,} transitions), but "
                f"{free / 1e9:.1f} GB are free on {device_name()}: lower replay_capacity"
            )


@dataclass(frozen=True)
class AgentProgress:
    """Counters of an agent.

    Attributes:
        agent_steps: Number of transitions observed.
        grad_steps: Number of gradient updates.
        continues: Whether the last transition left its episode open.
    """

    agent_steps: int = 0
    grad_steps: int = 0
    continues: bool = False


def make_setting(
    spaces: Spaces,
    algorithm: Algorithm | str | None,
    seed: SupportsIndex | float,
    replay_capacity: SupportsIndex | float,
    discount: float | None,
    task: str,
    precision: PrecisionChoice,
) -> AgentSetting:
    """Validate settings given by a user or a file; see ``Agent``. Starts JAX.

    Raises:
        UserError: A value is invalid, or JAX does not start.
    """
    algorithm = as_algorithm(algorithm)
    if algorithm.resets is not None:
        raise UserError(
            f"Agent does not support resets, which {algorithm.name} has: use .replace(resets=None), or make a new "
            "Agent for each reset"
        )
    warmup = algorithm.warmup_transitions
    capacity = whole_number("replay_capacity", replay_capacity, 1, _MAX_TRANSITIONS)
    if capacity <= warmup:
        raise UserError(f"replay_capacity must be more than the warm-up of {warmup:,} transitions, got {capacity:,}")
    if not isinstance(task, str):
        raise UserError(f"task must be a string, got {task!r}")
    start_jax()
    return AgentSetting(
        algorithm=algorithm,
        spaces=spaces,
        seed=whole_number("seed", seed, 0, 2**31 - 1),
        replay_capacity=capacity,
        discount=_choose_discount(discount, algorithm),
        task=task,
        precision=resolve_precision(precision),
    )


def update_count(name: str, value: Any, algorithm: Algorithm) -> int:
    """Return a number of updates per call: ``value``, or the algorithm's UTD for None.

    Raises:
        UserError: It is not a whole number, or out of range.
    """
    if value is None and not isinstance(algorithm.utd, int):
        raise UserError(f"{name} is required where the algorithm's utd is a fraction, got utd {algorithm.utd}")
    return whole_number(name, algorithm.utd if value is None else value, 1, _MAX_UPDATES)


def _choose_discount(discount: float | None, algorithm: Algorithm) -> float:
    if discount is None:
        return _DISCOUNT if algorithm.discount is None else algorithm.discount
    if isinstance(discount, bool) or not isinstance(discount, float | int) or not 0.0 <= discount <= 1.0:
        raise UserError(f"discount must be a number in [0, 1], got {discount!r}")
    return float(discount)
