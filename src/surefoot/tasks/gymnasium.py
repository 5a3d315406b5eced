"""Registered Gymnasium environments and callables that return one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from surefoot.errors import MissingDependency, UserError
from surefoot.tasks.rendering import Camera, View, environment_camera, seconds_per_step
from surefoot.tasks.spaces import describe_spaces
from surefoot.tasks.targets import load_callable
from surefoot.tasks.tracebacks import describe_exception
from surefoot.tasks.wrappers import Advance


class GymnasiumSimulation:
    """A Gymnasium environment with its own time limit and termination."""

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        """Wrap `env`; `name` is the name of the task, for error messages.

        Raises:
            UserError: A space is not supported.
        """
        self._env, self._name = env, name
        self.spaces = describe_spaces(env.observation_space, env.action_space, name)
        self._observation: Any = None

    def reset(self, seed: int) -> None:
        """Start an episode with the environment's own seeding."""
        self._observation, _ = self._env.reset(seed=seed)

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step."""
        # A copy: the environment may change or keep it, and a repeated action is passed again.
        self._observation, reward, terminated, truncated, _ = self._env.step(action.copy())
        return Advance(float(reward), bool(terminated), bool(truncated))

    def observe(self) -> np.ndarray:
        """Return a copy of the flat observation, [O] float32."""
        return self.spaces.flatten(self._observation)

    def solved(self) -> bool:
        """Return False: Gymnasium defines no success."""
        return False

    def control_seconds(self) -> float | None:
        """Return the declared duration of one step in seconds, or None."""
        return seconds_per_step(self._env)

    def camera(self, view: View) -> Camera:
        """Return a camera of the MuJoCo model, by default its first, or one that calls the environment's `render`."""
        return environment_camera(self._env, view, self._name)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def make_registered(spec: gymnasium.envs.registration.EnvSpec) -> gymnasium.Env[Any, Any]:
    """Make a registered environment.

    Worker processes get the specification, not the id: they have not run the code that registered it.

    Raises:
        UserError: Gymnasium cannot make it, for example because a package is missing, or it has no spaces.
    """
    try:
        env = gymnasium.make(spec, disable_env_checker=True)
    except (ImportError, gymnasium.error.Error) as error:
        raise UserError(f"task '{spec.id}' cannot be made: {' '.join(str(error).split())}") from error
    except Exception as error:  # the constructor is user code
        raise UserError(f"task '{spec.id}' cannot be made: {describe_exception(error)}") from error
    _require_spaces(env, spec.id)
    return env


def make_mujoco(env_id: str) -> gymnasium.Env[Any, Any]:
    """Make one of Gymnasium's own MuJoCo environments, for example "HalfCheetah-v5".

    Raises:
        MissingDependency: A required package is not installed.
    """
    try:
        import imageio  # noqa: F401  (Gymnasium imports it even without rendering)
        import mujoco  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name in ("imageio", "mujoco"):
            raise MissingDependency(error.name, "mujoco", f"Gymnasium's {env_id}") from error
        raise
    return make_registered(gymnasium.spec(env_id))


def make_from_callable(factory: Callable[[], Any], name: str) -> gymnasium.Env[Any, Any]:
    """Make an environment with a user's callable; `name` is the name of the task, for error messages.

    Raises:
        UserError: It raised, or did not return a `gymnasium.Env` with both spaces.
    """
    try:
        env = factory()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # user code
        raise UserError(f"task '{name}' cannot be made: {describe_exception(error)}") from error
    if not isinstance(env, gymnasium.Env):
        raise UserError(f"task '{name}' must return a gymnasium.Env, but returned {type(env).__name__}")
    _require_spaces(env, name)
    return env


def make_from_target(target: str) -> gymnasium.Env[Any, Any]:
    """Make an environment with the callable named by "module:callable".

    Raises:
        UserError: There is no such callable, it raised, or it did not return a `gymnasium.Env`.
    """
    return make_from_callable(load_callable(target), target)


def _require_spaces(env: gymnasium.Env[Any, Any], name: str) -> None:
    for attribute in ("observation_space", "action_space"):
        space = getattr(env, attribute, None)
        if not isinstance(space, gymnasium.Space):
            has = f"no {attribute}" if space is None else f"the {attribute} {space!r}"
            raise UserError(f"task '{name}' has {has}, expected a gymnasium.Space that its __init__ sets")
