"""What an agent is and stays, and how far it has come."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from surefoot import replay
from surefoot.agent.spaces import Spaces
from surefoot.algorithms import Algorithm
from surefoot.algorithms.presets import crossq_wn
from surefoot.errors import UserError
from surefoot.machine import device_name, free_device_memory
from surefoot.types import EnvSpec

_DISCOUNT = 0.99
_MOST_TRANSITIONS = 2**30
"""Counters on the device are 32 bits wide."""


@dataclass(frozen=True)
class AgentSetting:
    """What an agent is and stays.

    Attributes:
        algorithm: what it learns with.
        spaces: of its observations and actions.
        seed: where all its random numbers come from.
        replay_capacity: transitions kept.
        discount: gamma per decision.
        task: what its policy's file says it was trained on.
    """

    algorithm: Algorithm
    spaces: Spaces
    seed: int
    replay_capacity: int
    discount: float
    task: str

    @property
    def env_spec(self) -> EnvSpec:
        """The sizes the learner needs."""
        return EnvSpec(self.spaces.observation_size, len(self.spaces.action_low))

    @property
    def frames(self) -> int:
        """Observations kept."""
        return replay.frame_capacity(self.replay_capacity, None)

    def check_memory(self) -> None:
        """Refuse a replay buffer that does not fit into the device's free memory, before it is made.

        Raises:
            UserError: with the estimate and what to change.
        """
        needed, free = replay.nbytes(self.env_spec, self.replay_capacity, self.frames), free_device_memory()
        if needed > free:
            raise UserError(
                f"the replay buffer needs {needed / 1e9:.1f} GB ({self.replay_capacity:,} transitions), but "
                f"{free / 1e9:.1f} GB are free on {device_name()}: lower replay_capacity"
            )


@dataclass(frozen=True)
class AgentProgress:
    """How far an agent has come, apart from the arrays on the device.

    Attributes:
        agent_steps: transitions observed.
        grad_steps: updates done.
        continues: whether the next transition may go on where the last one ended.
    """

    agent_steps: int = 0
    grad_steps: int = 0
    continues: bool = False


def make_setting(
    spaces: Spaces, algorithm: Algorithm | None, seed: int, replay_capacity: int, discount: float | None, task: str
) -> AgentSetting:
    """Check what a user, or a file, asks for; see ``Agent``.

    Raises:
        UserError: a value that cannot work.
    """
    algorithm = crossq_wn() if algorithm is None else algorithm
    if not isinstance(algorithm, Algorithm):
        raise UserError(f"algorithm must be a surefoot.Algorithm such as surefoot.crossq_wn(), got {algorithm!r}")
    if algorithm.resets is not None:
        raise UserError(
            f"an Agent does not reset itself, but {algorithm.name} has resets: use .replace(resets=None), or begin a "
            "new Agent when it is time"
        )
    capacity, warmup = whole("replay_capacity", replay_capacity, 1, _MOST_TRANSITIONS), algorithm.warmup_transitions
    if capacity <= warmup:
        raise UserError(f"replay_capacity must be more than the warm-up of {warmup:,} transitions, got {capacity:,}")
    return AgentSetting(
        algorithm=algorithm,
        spaces=spaces,
        seed=whole("seed", seed, 0, 2**31 - 1),
        replay_capacity=capacity,
        discount=_choose_discount(discount, algorithm),
        task=_text("task", task),
    )


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Return ``value`` as an int within ``low`` and ``high``.

    Raises:
        UserError: it is something else.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise UserError(f"{name} must be a whole number, got {value!r}") from None
    if not low <= number <= high:
        raise UserError(f"{name} must be between {low:,} and {high:,}, got {number:,}")
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{name} must be a text, got {value!r}")
    return value


def _choose_discount(discount: float | None, algorithm: Algorithm) -> float:
    if discount is None:
        return _DISCOUNT if algorithm.discount is None else algorithm.discount
    if isinstance(discount, bool) or not isinstance(discount, float | int) or not 0.0 <= discount <= 1.0:
        raise UserError(f"discount must be a number in [0, 1], got {discount!r}")
    return float(discount)
