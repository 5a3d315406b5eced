"""Environments with flat float32 observations, actions in [-1, 1] and action repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np

from surefoot.errors import UserError
from surefoot.tasks.rendering import Camera, View


class Advance(NamedTuple):
    """Result of one control step."""

    reward: float
    terminated: bool
    truncated: bool


class Simulation(Protocol):
    """An environment in control steps and its own units of action.

    Observations are separate from steps because a repeated action needs only its last one, and computing one costs DM
    Control up to a tenth of a step.

    Attributes:
        observation_size: O, the size of a flat observation.
        observation_keys: Keys of a Dict observation in the order of concatenation, or None.
        action_low: [A] float32, finite.
        action_high: [A] float32, finite, above action_low.
    """

    observation_size: int
    observation_keys: tuple[str, ...] | None
    action_low: np.ndarray
    action_high: np.ndarray

    def reset(self, seed: int) -> None:
        """Start the episode of `seed`, independently of earlier episodes."""

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step with `action` [A] within the bounds."""

    def observe(self) -> np.ndarray:
        """Return the current observation as a new array, [O] float32."""

    def solved(self) -> bool:
        """Return whether the task counts as solved in the current state; False for tasks without success."""

    def control_seconds(self) -> float | None:
        """Return the simulated time of one control step in seconds, or None if unknown."""

    def camera(self, view: View) -> Camera:
        """Return a camera of this simulation; call before the first reset.

        Raises:
            UserError: The environment cannot be rendered, has no such camera, or no off-screen renderer works.
        """

    def close(self) -> None:
        """Free the resources of the simulation."""


class TaskEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A `Simulation` as a Gymnasium environment in which one step is one decision.

    The action repeat stops at the end of the episode, and the reward is summed over its control steps. `info` holds
    "env_steps", the number of control steps taken, and, for tasks with success, "success": whether the final state
    counts as solved. As in the experiments of the CrossQ + WN paper, earlier states of a repeat do not count.

    Attributes:
        observation_size: O.
        observation_keys: Keys of the simulation's Dict observation in the order of concatenation, or None.
        env_action_low: [A] float32, the simulation's own bound, to which an action of -1 is mapped.
        env_action_high: [A] float32, to which an action of 1 is mapped.
    """

    def __init__(self, simulation: Simulation, action_repeat: int, has_success: bool) -> None:
        """Wrap `simulation`; a decision takes `action_repeat` control steps."""
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
        """Start the episode of `seed` or, without a seed, the next one of a random sequence."""
        super().reset(seed=seed)
        self._simulation.reset(int(self.np_random.integers(2**31)) if seed is None else seed)
        return self._simulation.observe(), self._info(0)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one decision, `action` [A] in [-1, 1]."""
        if not self._is_unit_range:
            action = self.env_action_low + (action + 1.0) * self._half_range
            # Rounding may carry an action of exactly 1 past the bound.
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
    """Return the size of a flat observation and the function that flattens one.

    Args:
        space: A Box of any shape, or a Dict of such Boxes, which are concatenated in the Dict's order.
        name: Name of the task, for the error message.

    Returns:
        O, and a function that returns a new [O] float32 array: environments may reuse one buffer.

    Raises:
        UserError: The space is not supported.
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
        UserError: The space is not a Box of real numbers, or a bound is infinite or empty.
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
