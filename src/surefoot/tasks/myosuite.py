"""MyoSuite's ten hand tasks: https://arxiv.org/abs/2205.13600, version 2.12."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from surefoot.errors import MissingDependency
from surefoot.tasks.rendering import MujocoCamera, View
from surefoot.tasks.spaces import describe_spaces
from surefoot.tasks.wrappers import Advance

_HAND_CAMERA = "hand_side_inter"
"""The first camera of these models shows the whole body, with a hand of a few pixels."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the package's banner and credits and the precision warnings of its spaces."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered by casting.*")
        yield


class MyoSuiteSimulation:
    """One MyoSuite hand task under the protocol of the CrossQ + WN paper.

    Episodes are truncated after `horizon` control steps instead of the registered 50 to 200, and terminate as in the
    suite.
    """

    def __init__(self, env_id: str, horizon: int) -> None:
        """Make the environment registered as `env_id`, for example "myoHandKeyTurnFixed-v0"."""
        import gymnasium

        with _quiet():
            try:
                import myosuite  # noqa: F401  (registers the environments)
            except ModuleNotFoundError as error:
                if error.name in ("myosuite", "mujoco"):
                    raise MissingDependency(error.name, "myosuite", "MyoSuite") from error
                raise
            env: Any = gymnasium.make(env_id, disable_env_checker=True).unwrapped
        self._env = env
        self._horizon = horizon
        self._observation = np.zeros(0, np.float32)
        self._solved = False
        self._steps = 0
        self.spaces = describe_spaces(env.observation_space, env.action_space, env_id)

    def reset(self, seed: int) -> None:
        """Start the episode of `seed`.

        MyoSuite's `reset(seed=)` does not seed `np_random`, from which the targets are drawn, so it is seeded here.
        """
        self._env.seed(seed)
        self._observation, _ = self._env.reset()
        self._solved = False
        self._steps = 0

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step."""
        self._observation, reward, terminated, _, info = self._env.step(action)
        self._steps += 1
        self._solved = bool(info["solved"])
        return Advance(float(reward), terminated, not terminated and self._steps >= self._horizon)

    def observe(self) -> np.ndarray:
        """Return the suite's observation vector, [O] float32."""
        return np.array(self._observation, np.float32)

    def solved(self) -> bool:
        """Return the suite's "solved" for the current state; False before the first step."""
        return self._solved

    def control_seconds(self) -> float:
        """Return the simulated seconds of one control step."""
        return float(self._env.dt)

    def camera(self, view: View) -> MujocoCamera:
        """Return a camera, by default one that shows the hand."""
        return MujocoCamera(self._env.mj_model, self._env.mj_data, view, default=_HAND_CAMERA)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
