"""Registered Gymnasium environments, and any callable that returns one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from surefoot.errors import UserError
from surefoot.tasks.wrappers import Advance, action_bounds, flatten_observations


class GymnasiumSimulation:
    """A Gymnasium environment as it is: its own horizon, its own termination."""

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        """Take over `env`; `name` is the task's, for messages.

        Raises:
            UserError: a space that is not supported.
        """
        self._env = env
        self.observation_size, self._flatten = flatten_observations(env.observation_space, name)
        space = env.observation_space
        self.observation_keys = tuple(space.spaces) if isinstance(space, gymnasium.spaces.Dict) else None
        self.action_low, self.action_high = action_bounds(env.action_space, name)
        self._action_shape, self._action_dtype = env.action_space.shape, env.action_space.dtype
        self._observation: Any = None

    def reset(self, seed: int) -> None:
        """Begin an episode with the environment's own seeding."""
        self._observation, _ = self._env.reset(seed=seed)

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step."""
        shaped = action.reshape(self._action_shape).astype(self._action_dtype)
        self._observation, reward, terminated, truncated, _ = self._env.step(shaped)
        return Advance(float(reward), bool(terminated), bool(truncated))

    def observe(self) -> np.ndarray:
        """Return the flat observation, [O] float32; a copy, since environments may reuse one buffer."""
        return self._flatten(self._observation)

    def solved(self) -> bool:
        """Return False: Gymnasium defines no success."""
        return False

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def find_spec(env_id: str) -> gymnasium.envs.registration.EnvSpec:
    """Look `env_id` up in Gymnasium's registry; "module:id" imports the module first, as Gymnasium does.

    Raises:
        gymnasium.error.Error: there is no such environment; the message says what is missing.
        UserError: the module cannot be imported.
    """
    module, _, registered = env_id.rpartition(":")
    if module:
        _import_named(module, env_id)
    return gymnasium.spec(registered)


def make_registered(spec: gymnasium.envs.registration.EnvSpec) -> GymnasiumSimulation:
    """Make a registered environment.

    The specification, not the id, is what travels to worker processes: those have not run the code that registered it.

    Raises:
        UserError: Gymnasium cannot make it, say for want of a package, or a space is not supported.
    """
    try:
        env = gymnasium.make(spec, disable_env_checker=True)
    except (ImportError, gymnasium.error.Error) as error:
        raise UserError(f"task '{spec.id}' cannot be made: {' '.join(str(error).split())}") from error
    return GymnasiumSimulation(env, spec.id)


def make_from_callable(factory: Callable[[], Any], name: str) -> GymnasiumSimulation:
    """Make an environment with a user's callable.

    Raises:
        UserError: it returned something else than a `gymnasium.Env`, or a space is not supported.
    """
    env = factory()
    if not isinstance(env, gymnasium.Env):
        raise UserError(f"task '{name}' must return a gymnasium.Env, but returned {type(env).__name__}")
    return GymnasiumSimulation(env, name)


def _import_named(module: str, env_id: str) -> None:
    expected = "expected module:id, such as my_package.envs:MyEnv-v0"
    if module.startswith("."):  # a file's path, or a relative import, which is relative to nothing here
        raise UserError(f"task '{env_id}': '{module}' is not a module's name; {expected}")
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"task '{env_id}': no module named '{error.name}' can be imported; {expected}") from error
    except Exception as error:  # the module is foreign code: it may raise anything
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"task '{env_id}': the module '{module}' cannot be imported: {message}") from error
