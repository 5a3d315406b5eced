"""Environments with flat float32 observations, actions in [-1, 1] and action repeat."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np

from surefoot.spaces import EnvSpaces
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
        spaces: Its observations and actions.
    """

    spaces: EnvSpaces

    def reset(self, seed: int) -> None:
        """Start the episode of `seed`, independently of earlier episodes."""

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step with `action` [*shape] in the dtype and within the bounds of `spaces`."""

    def observe(self) -> np.ndarray:
        """Return the current observation as a new array, [O] float32."""

    def solved(self) -> bool | None:
        """Return whether the task counts as solved in the current state; None if the environment does not report it."""

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
    "env_steps", the number of control steps taken, and, if the environment reports it, "success": whether the final
    state counts as solved. As in the experiments of the CrossQ + WN paper, earlier states of a repeat do not count.

    Attributes:
        spaces: The simulation's own observations and actions, to which this environment's are mapped.
    """

    def __init__(self, simulation: Simulation, action_repeat: int) -> None:
        """Wrap `simulation`; a decision takes `action_repeat` control steps."""
        self._simulation = simulation
        self._action_repeat = action_repeat
        self.spaces = simulation.spaces
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.spaces.observation_size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (self.spaces.action.size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start the episode of `seed` or, without a seed, the next one of a random sequence."""
        super().reset(seed=seed)
        self._simulation.reset(int(self.np_random.integers(2**31)) if seed is None else seed)
        return self._simulation.observe(), self._info(0)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one decision, `action` [A] in [-1, 1]."""
        own = self.spaces.action.from_unit(action)
        total, env_steps, terminated, truncated = 0.0, 0, False, False
        while env_steps < self._action_repeat and not (terminated or truncated):
            reward, terminated, truncated = self._simulation.advance(own)
            total += reward
            env_steps += 1
        return self._simulation.observe(), total, terminated, truncated, self._info(env_steps)

    def close(self) -> None:
        """Close the simulation."""
        self._simulation.close()

    def _info(self, env_steps: int) -> dict[str, Any]:
        solved = self._simulation.solved()
        return {"env_steps": env_steps} if solved is None else {"env_steps": env_steps, "success": solved}
