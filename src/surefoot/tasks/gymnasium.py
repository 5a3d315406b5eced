"""Registered Gymnasium environments and callables that return one."""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from surefoot.errors import MissingDependency, UserError
from surefoot.tasks.gl import gl_hint
from surefoot.tasks.rendering import Camera, View, environment_camera, make_for_render, seconds_per_step
from surefoot.tasks.rewards import as_reward
from surefoot.tasks.spaces import describe_spaces
from surefoot.tasks.success import reported_success
from surefoot.tasks.targets import HOW_TO_SET, load_callable, no_such_keyword
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
        self._solved: bool | None = None

    def reset(self, seed: int) -> None:
        """Start an episode with the environment's own seeding."""
        self._observation, _ = self._env.reset(seed=seed)
        self._solved = None

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step."""
        # A copy: the environment may change or keep it, and a repeated action is passed again.
        self._observation, reward, terminated, truncated, info = self._env.step(action.copy())
        self._solved = reported_success(info)
        return Advance(as_reward(reward), bool(terminated), bool(truncated))

    def observe(self) -> np.ndarray:
        """Return a copy of the flat observation, [O] float32."""
        return self.spaces.flatten(self._observation)

    def solved(self) -> bool | None:
        """Return the success that the environment reported in its last step, or None."""
        return self._solved

    def control_seconds(self) -> float | None:
        """Return the declared duration of one step in seconds, or None."""
        return seconds_per_step(self._env)

    def camera(self, view: View) -> Camera:
        """Return a camera that calls the environment's `render`, or one of its MuJoCo model."""
        return environment_camera(self._env, view, self._name)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def make_registered(
    spec: gymnasium.envs.registration.EnvSpec, keywords: Mapping[str, Any], name: str, *, rendered: bool = False
) -> gymnasium.Env[Any, Any]:
    """Make a registered environment.

    Worker processes get the specification, not the id: they have not run the code that registered it.

    Args:
        spec: Its specification.
        keywords: Keywords of its constructor.
        name: Name of the task, for error messages.
        rendered: Whether to make it for `render`.

    Raises:
        UserError: Gymnasium cannot make it, for example because a package is missing or it has no such keyword, or it
            has no spaces.
    """
    try:
        make = _with_keywords(gymnasium.make, keywords, _without_null_metadata(spec), disable_env_checker=True)
        env = make_for_render(make) if rendered else make()
    except (ImportError, gymnasium.error.Error) as error:
        raise UserError(f"task '{name}' cannot be made: {' '.join(str(error).split())}{gl_hint(error)}") from error
    except (Exception, SystemExit) as error:  # the constructor is user code
        if isinstance(error, TypeError) and (mistake := _keyword_mistake(spec, keywords, error)) is not None:
            raise UserError(f"task '{name}' {mistake}") from error
        raise UserError(f"task '{name}' cannot be made: {describe_exception(error)}{gl_hint(error)}") from error
    _require_spaces(env, name)
    return env


def _with_keywords(
    factory: Callable[..., Any], keywords: Mapping[str, Any], *arguments: Any, **others: Any
) -> Callable[..., Any]:
    """Return a callable that passes copies of these keywords: environments may change them."""
    return functools.partial(factory, *arguments, **others, **copy.deepcopy(dict(keywords)))


def _without_null_metadata(spec: gymnasium.envs.registration.EnvSpec) -> gymnasium.envs.registration.EnvSpec:
    """Return a specification of which Gymnasium does not examine the metadata if they are None."""
    creator: Any = _creator(spec)
    if getattr(creator, "metadata", ()) is not None:
        return spec
    return dataclasses.replace(spec, entry_point=functools.partial(creator))  # which has no attribute metadata


def _creator(spec: gymnasium.envs.registration.EnvSpec) -> Any:
    found: Any = spec.entry_point
    return gymnasium.envs.registration.load_env_creator(found) if isinstance(found, str) else found


def _keyword_mistake(
    spec: gymnasium.envs.registration.EnvSpec, keywords: Mapping[str, Any], error: TypeError
) -> str | None:
    """Return which keyword of an environment is unknown or missing; None if the error has another cause."""
    unknown = re.search(r"(?:unexpected keyword argument|multiple values for.* argument) '(\w+)'", str(error))
    if unknown and unknown[1] in keywords:
        return no_such_keyword(unknown[1], _creator(spec))
    if missing := re.match(r"[\w.<>]+\(\) missing .* required .* arguments?: '(\w+)'", str(error)):
        got = f", got {', '.join(keywords)}" if keywords else ""
        return f"needs the keyword '{missing[1]}'{got}: {HOW_TO_SET.format(missing[1])}"
    return None


def make_mujoco(env_id: str, keywords: Mapping[str, Any], *, rendered: bool = False) -> gymnasium.Env[Any, Any]:
    """Make one of Gymnasium's own MuJoCo environments, for example "HalfCheetah-v5".

    Args:
        env_id: Its id.
        keywords: Keywords of its constructor.
        rendered: As for `make_registered`.

    Raises:
        MissingDependency: A required package is not installed.
        UserError: It cannot be made; see ``make_registered``.
    """
    try:
        import imageio  # noqa: F401  (Gymnasium imports these two even without rendering)
        import mujoco  # noqa: F401

        import packaging  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name in ("imageio", "mujoco", "packaging"):
            raise MissingDependency(error.name, "mujoco", f"Gymnasium's {env_id}") from error
        raise
    return make_registered(gymnasium.spec(env_id), keywords, env_id, rendered=rendered)


def call_factory(factory: Callable[..., Any], name: str, keywords: Mapping[str, Any], *, rendered: bool = False) -> Any:
    """Call a user's callable, which makes an environment.

    Args:
        factory: The callable.
        name: Name of the task, for error messages.
        keywords: Keywords of the call.
        rendered: Whether to make it for `render`.

    Raises:
        UserError: It raised.
    """
    try:
        make = _with_keywords(factory, keywords) if keywords else factory
        return make_for_render(make) if rendered else make()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # user code
        raise UserError(f"task '{name}' cannot be made: {describe_exception(error)}{gl_hint(error)}") from error


def make_from_callable(
    factory: Callable[..., Any], name: str, keywords: Mapping[str, Any], *, rendered: bool = False
) -> gymnasium.Env[Any, Any]:
    """Make an environment with a user's callable.

    Args:
        factory: As for ``call_factory``.
        name: As for ``call_factory``.
        keywords: As for ``call_factory``.
        rendered: As for ``call_factory``.

    Raises:
        UserError: It raised, or did not return a `gymnasium.Env` with both spaces.
    """
    env = call_factory(factory, name, keywords, rendered=rendered)
    if not isinstance(env, gymnasium.Env):
        is_jax = all(hasattr(env, attribute) for attribute in ("reset", "step", "action_size"))
        hint = "; an environment written in JAX is trained with --engine jax" if is_jax else ""
        raise UserError(f"task '{name}' must return a gymnasium.Env, but returned {type(env).__name__}{hint}")
    _require_spaces(env, name)
    return env


def make_from_target(target: str, keywords: Mapping[str, Any], *, rendered: bool = False) -> gymnasium.Env[Any, Any]:
    """Make an environment with the callable named by "module:callable".

    Args:
        target: Its name.
        keywords: Keywords of the call.
        rendered: Whether to make it for `render`.

    Raises:
        UserError: There is no such callable, it raised, or it did not return a `gymnasium.Env`.
    """
    return make_from_callable(load_callable(target, keywords), target, keywords, rendered=rendered)


def call_target(target: str, keywords: Mapping[str, Any]) -> Any:
    """Call the callable named by "module:callable"; see ``call_factory``."""
    return call_factory(load_callable(target, keywords), target, keywords)


def _require_spaces(env: gymnasium.Env[Any, Any], name: str) -> None:
    for attribute in ("observation_space", "action_space"):
        space = getattr(env, attribute, None)
        if not isinstance(space, gymnasium.Space):
            has = f"no {attribute}" if space is None else f"the {attribute} {space!r}"
            raise UserError(f"task '{name}' has {has}, expected a gymnasium.Space that its __init__ sets")
