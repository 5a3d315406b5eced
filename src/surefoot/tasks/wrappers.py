"""What every suite's environment becomes: flat float32 observations, actions in [-1, 1], repeated actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np

from surefoot.errors import UserError
from surefoot.tasks.rendering import Camera, View


class Advance(NamedTuple):
    """What one control step brought."""

    reward: float
    terminated: bool
    truncated: bool


class Simulation(Protocol):
    """One suite's environment, in control steps and in its own units of action.

    Observing is apart from advancing because a repeated action needs the observation of its last control step only,
    and computing one costs DM Control up to a tenth of a step.

    Attributes:
        observation_size: O, numbers in a flat observation.
        observation_keys: the keys of a Dict observation in the order in which they are joined; None for a flat one.
        action_low: [A] float32, finite.
        action_high: [A] float32, finite, above action_low.
    """

    observation_size: int
    observation_keys: tuple[str, ...] | None
    action_low: np.ndarray
    action_high: np.ndarray

    def reset(self, seed: int) -> None:
        """Begin the episode that belongs to `seed`, whatever happened in this object before."""

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step with `action` [A], which lies within the bounds."""

    def observe(self) -> np.ndarray:
        """Return the current observation, [O] float32, an array nothing else holds."""

    def solved(self) -> bool:
        """Say whether the task counts as solved in the current state; False where it defines no success."""

    def control_seconds(self) -> float | None:
        """Return the simulated time of one control step in seconds; None where the environment does not tell."""

    def camera(self, view: View) -> Camera:
        """Return a camera that takes pictures of this simulation; ask for it before the first reset.

        Raises:
            UserError: the environment cannot be rendered, has no such camera, or nothing here can draw off-screen.
        """

    def close(self) -> None:
        """Free what the simulation holds."""


class TaskEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A `Simulation` as the Gymnasium environment an agent meets: one step is one decision.

    The action repeat ends early where the episode does. The reward of a decision is the sum over its control steps.
    `info` holds "env_steps", the control steps the decision consumed, and, where the task defines success, "success":
    whether the state the decision ended in counts as solved. States passed through inside a repeat are not looked at;
    that is how the authors of CrossQ + WN count.

    Attributes:
        observation_size: O.
        observation_keys: the keys of the simulation's Dict observation in order, or None.
        env_action_low: [A] float32, the simulation's own lower bound, where -1 is mapped to.
        env_action_high: [A] float32, where 1 is mapped to.
    """

    def __init__(self, simulation: Simulation, action_repeat: int, has_success: bool) -> None:
        """Wrap `simulation` for an agent whose decisions last `action_repeat` control steps."""
        self._simulation = simulation
        self._action_repeat = action_repeat
        self._has_success = has_success
        self.env_action_low = simulation.action_low
        self.env_action_high = simulation.action_high
        self._half_range = 0.5 * (simulation.action_high - simulation.action_low)
        self._is_unit_range = bool((simulation.action_low == -1.0).all() and (simulation.action_high == 1.0).all())
        self.observation_size = simulation.observation_size
        self.observation_keys = simulation.observation_keys
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (simulation.observation_size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, simulation.action_low.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode: the one `seed` stands for, or, without a seed, the next of a random sequence."""
        super().reset(seed=seed)
        self._simulation.reset(int(self.np_random.integers(2**31)) if seed is None else seed)
        return self._simulation.observe(), self._info(0)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Carry out one decision, `action` [A] in [-1, 1]."""
        if not self._is_unit_range:
            action = self.env_action_low + (action + 1.0) * self._half_range
            # Rounding alone can carry an action of exactly 1 past the bound.
            action = np.clip(action, self.env_action_low, self.env_action_high)
        total, env_steps, terminated, truncated = 0.0, 0, False, False
        while env_steps < self._action_repeat and not (terminated or truncated):
            reward, terminated, truncated = self._simulation.advance(action)
            total += reward
            env_steps += 1
        return self._simulation.observe(), total, terminated, truncated, self._info(env_steps)

    def close(self) -> None:
        """Close the simulation."""
        self._simulation.close()

    def _info(self, env_steps: int) -> dict[str, Any]:
        if self._has_success:
            return {"env_steps": env_steps, "success": self._simulation.solved()}
        return {"env_steps": env_steps}


def flatten_observations(space: gymnasium.Space[Any], name: str) -> tuple[int, Callable[[Any], np.ndarray]]:
    """Return the size of a flat observation and the function that makes one from the environment's own.

    Args:
        space: a Box of any shape, or a Dict of such Boxes, which are joined in the Dict's order.
        name: the task's name, for the message.

    Returns:
        O, and a function to a fresh [O] float32 array: environments may hand out one buffer again and again.

    Raises:
        UserError: the space is anything else.
    """
    if isinstance(space, gymnasium.spaces.Box):
        return space.low.size, lambda observation: np.array(observation, np.float32).reshape(-1)
    if isinstance(space, gymnasium.spaces.Dict):
        size = 0
        for key, part in space.spaces.items():
            if not isinstance(part, gymnasium.spaces.Box):
                raise UserError(
                    f"task '{name}' has the observation {part} under '{key}', which is not supported: "
                    "expected a Box or a Dict of Boxes"
                )
            size += part.low.size
        keys = tuple(space.spaces)
        return size, lambda observation: np.concatenate(
            [np.asarray(observation[key], np.float32).reshape(-1) for key in keys]
        )
    raise UserError(
        f"task '{name}' has the observation space {space}, which is not supported: expected a Box or a Dict of Boxes"
    )


def action_bounds(space: gymnasium.Space[Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat bounds of an action space, each [A] float32.

    Raises:
        UserError: the space is not a Box of real numbers, or a bound is infinite or empty.
    """
    if not isinstance(space, gymnasium.spaces.Box) or space.dtype is None or space.dtype.kind != "f":
        raise UserError(
            f"task '{name}' has the action space {space}, which is not supported: expected a Box of real numbers"
        )
    low, high = (np.array(bound, np.float32).reshape(-1) for bound in (space.low, space.high))
    if low.size == 0 or not (np.isfinite(low) & np.isfinite(high)).all() or not (low < high).all():
        raise UserError(
            f"task '{name}' has the action space {space}, which is not supported: every action needs finite bounds, "
            "the lower below the upper"
        )
    return low, high
