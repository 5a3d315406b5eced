"""Environments written in JAX, behind one interface."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from surefoot.errors import UserError
from surefoot.spaces import EnvSpaces
from surefoot.tasks.spaces import describe_spaces
from surefoot.tasks.success import SUCCESS_KEYS
from surefoot.tasks.tracebacks import describe_exception
from surefoot.types import PyTree


class Reading(NamedTuple):
    """What the state of an environment tells."""

    observation: Any
    """Array or nested dicts of arrays, as the environment's spaces describe."""
    reward: jax.Array
    """[] of the step that led here."""
    done: jax.Array
    """[] whether the state is terminal; a time limit is not."""
    success: jax.Array | None
    """[] whether the task counts as solved; None if the environment does not report it."""


class JaxEnv(Protocol):
    """One environment in control steps, as traceable functions of its state.

    Attributes:
        spaces: Its observations and actions.
        horizon: Control steps after which an episode is truncated; None for no limit.
        reports_success: Whether ``read`` has the success.
    """

    spaces: EnvSpaces
    horizon: int | None
    reports_success: bool

    def reset(self, key: jax.Array) -> PyTree:
        """Return the first state of an episode."""

    def step(self, state: PyTree, action: jax.Array) -> PyTree:
        """Return the state after one control step with ``action`` [*shape], within the bounds of the spaces."""

    def read(self, state: PyTree) -> Reading:
        """Return the observation, and the outcome of the step that led to the state."""


class BraxEnv:
    """Environment with the interface that Brax and MuJoCo Playground share.

    ``reset(key)`` and ``step(state, action)`` return a state with ``obs`` (an array, or a dict of arrays), ``reward``,
    ``done``, and optionally dicts ``info`` and ``metrics``, whose "success" is recorded. Actions are in [-1, 1].

    Args:
        env: The environment, with an attribute ``action_size``.
        name: Name of the task, for error messages.
        horizon: Control steps after which an episode is truncated; None for the environment's ``episode_length``, and
            no limit if it has none.

    Raises:
        UserError: It lacks a part of the interface, its functions cannot be traced, or its spaces are not supported.
    """

    def __init__(self, env: Any, name: str, horizon: int | None = None) -> None:
        self._env, self._name = env, name
        for attribute in ("reset", "step", "action_size"):
            if not _has(env, attribute, name):
                raise UserError(
                    f"task '{name}': {type(env).__name__} has no {attribute}, expected reset(key), step(state, action) "
                    "and action_size, as Brax and MuJoCo Playground have them"
                )
        size = _whole_number(env.action_size, "action_size", name)
        self._like = traced(env.reset, name, "reset", jax.random.key(0))
        for attribute in ("obs", "reward", "done"):
            if not hasattr(self._like, attribute):
                raise UserError(f"task '{name}': reset returns {type(self._like).__name__} without {attribute}")
        info = getattr(self._like, "info", None)
        for entry in ("truncation", "first_obs", "first_state", "first_pipeline_state"):
            if isinstance(info, Mapping) and entry in info:
                raise UserError(
                    f"task '{name}' has info['{entry}'] of a wrapper that resets or limits time itself, expected the "
                    "environment without it, such as brax.envs.get_environment(NAME)"
                )
        self.reports_success = _success(self._like) is not None
        limit = getattr(env, "episode_length", None) if horizon is None else horizon
        self.horizon = None if limit is None else _whole_number(limit, "episode_length", name)
        for what, value in (("reward", self._like.reward), ("done", self._like.done)):
            if np.shape(value) != ():
                raise UserError(f"task '{name}' has a {what} of shape {np.shape(value)}, expected one number")
        observation_space(self._like.obs, name)  # an error before that of a step
        self._like = fixed_types(self._like, self._step, jax.ShapeDtypeStruct((size,), jnp.float32), name)
        self.spaces = describe_spaces(
            observation_space(self._like.obs, name), gymnasium.spaces.Box(-1.0, 1.0, (size,), np.float32), name
        )

    def reset(self, key: jax.Array) -> PyTree:
        """Return the first state of an episode."""
        return jax.tree.map(_as_type, self._env.reset(key), self._like)

    def step(self, state: PyTree, action: jax.Array) -> PyTree:
        """Return the state after one control step."""
        return jax.tree.map(_as_type, self._step(state, action), self._like)

    def read(self, state: PyTree) -> Reading:
        """Return the observation, and the outcome of the step that led to the state."""
        success = _success(state)
        solved = None if success is None else jnp.asarray(success).reshape(()) > 0.5
        return Reading(state.obs, state.reward, state.done, solved)

    def _step(self, state: PyTree, action: jax.Array) -> PyTree:
        # A copy of the tree: Playground's environments change the dicts of the state that they are given.
        return self._env.step(jax.tree.map(lambda leaf: leaf, state), action)


class GymnaxEnv:
    """Environment of gymnax, without the time limit that it counts as an end.

    Args:
        env: The environment.
        params: Its parameters.
        name: Name of the task, for error messages.

    Raises:
        UserError: Its spaces are not supported.
    """

    reports_success = False

    class State(NamedTuple):
        """State of the environment, with the key of its next step and the outcome of the last one."""

        env: PyTree
        key: jax.Array
        obs: jax.Array
        reward: jax.Array
        done: jax.Array

    def __init__(self, env: Any, params: Any, name: str) -> None:
        self._env = env
        horizon = getattr(params, "max_steps_in_episode", None)
        self.horizon = None if horizon is None else _whole_number(horizon, "max_steps_in_episode", name)
        # Its `done` does not tell a time limit from an end.
        self._params = params if horizon is None else params.replace(max_steps_in_episode=2**30)
        space = env.action_space(params)
        if hasattr(space, "low"):
            low, high = (
                np.broadcast_to(np.asarray(bound, np.float32), space.shape) for bound in (space.low, space.high)
            )
            action: gymnasium.Space[Any] = gymnasium.spaces.Box(low, high, dtype=np.float32)
        else:
            action = gymnasium.spaces.Discrete(int(getattr(space, "n", 1)))
        self._like = traced(self._first, name, "reset", jax.random.key(0))
        self.spaces = describe_spaces(
            observation_space(self._like.obs, name), action, name
        )  # an error before that of a step
        self._like = fixed_types(self._like, self._step, jax.ShapeDtypeStruct(space.shape, jnp.float32), name)
        self.spaces = describe_spaces(observation_space(self._like.obs, name), action, name)

    def reset(self, key: jax.Array) -> State:
        """Return the first state of an episode."""
        return jax.tree.map(_as_type, self._first(key), self._like)

    def step(self, state: State, action: jax.Array) -> State:
        """Return the state after one control step."""
        return jax.tree.map(_as_type, self._step(state, action), self._like)

    def read(self, state: State) -> Reading:
        """Return the observation, and the outcome of the step that led to the state."""
        return Reading(state.obs, state.reward, state.done, None)

    def _step(self, state: State, action: jax.Array) -> State:
        key, own = jax.random.split(state.key)
        obs, env, reward, done, _ = self._env.step_env(own, state.env, action, self._params)
        return self.State(env, key, obs, reward, done)

    def _first(self, key: jax.Array) -> State:
        key, own = jax.random.split(key)
        obs, env = self._env.reset_env(own, self._params)
        return self.State(env, key, obs, jnp.float32(0.0), jnp.bool_(False))


def traced(function: Callable[..., Any], task: str, what: str, *arguments: Any) -> Any:
    """Return the shapes of a function's result.

    Raises:
        UserError: It cannot be traced.
    """
    try:
        return jax.eval_shape(function, *arguments)
    except UserError:
        raise
    except Exception as error:  # user code
        raise UserError(f"task '{task}': its {what} cannot be compiled: {describe_exception(error)}") from error


def fixed_types(first: PyTree, step: Callable[..., Any], action: Any, task: str) -> PyTree:
    """Return shapes and dtypes that hold both the first state of an episode and the later ones.

    A loop carries values of one type, and environments often mix them: a reward that starts as a whole number, a flag
    that becomes a float.

    Args:
        first: Shapes of the first state.
        step: Function of a state and an action.
        action: Shape of an action.
        task: Name of the task, for error messages.

    Raises:
        UserError: A step cannot be traced, or returns a state of other entries or shapes; or a dtype is not supported.
    """

    def joined(path: Any, one: Any, other: Any) -> jax.ShapeDtypeStruct:
        if one.shape != other.shape:
            raise UserError(
                f"task '{task}': {jax.tree_util.keystr(path)[1:]} has the shape {other.shape} after a step, expected "
                f"{one.shape} as after reset"
            )
        try:
            dtype = one.dtype if one.dtype == other.dtype else jnp.promote_types(one.dtype, other.dtype)
        except Exception as error:  # of keys, and where the user allows no promotion
            raise UserError(
                f"task '{task}': {jax.tree_util.keystr(path)[1:]} is {other.dtype} after a step, expected {one.dtype} "
                "as after reset"
            ) from error
        is_key = jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
        if not is_key and np.dtype(dtype).kind not in "biuf":
            raise UserError(
                f"task '{task}': {jax.tree_util.keystr(path)[1:]} is {dtype}, expected floats of 16 or 32 bits, "
                "integers or flags, which checkpoints can hold"
            )
        return jax.ShapeDtypeStruct(one.shape, dtype)

    # Without the weak types of Python's numbers, which a loop would not keep.
    first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), first)
    while True:
        after = traced(step, task, "step", first, action)
        structures: list[Any] = [jax.tree.structure(tree) for tree in (first, after)]
        if structures[0] != structures[1]:
            paths = [
                {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(t)}
                for t in (first, after)
            ]
            one_sided = sorted(paths[0] ^ paths[1])
            named = f": {one_sided[0][1:]} is in one of them only" if one_sided else ""
            raise UserError(f"task '{task}': step returns a state with other entries than reset does{named}")
        both = jax.tree_util.tree_map_with_path(joined, first, after)
        if all(one.dtype == other.dtype for one, other in zip(*map(jax.tree.leaves, (first, both)), strict=True)):
            return both
        first = both


def observation_space(observation: Any, task: str) -> gymnasium.Space[Any]:
    """Return the space of observations with these shapes: an array, or nested dicts of arrays.

    Raises:
        UserError: It is something else.
    """
    if isinstance(observation, Mapping):
        return gymnasium.spaces.Dict({key: observation_space(value, task) for key, value in observation.items()})
    if not hasattr(observation, "dtype"):
        raise UserError(
            f"task '{task}' has observations of type {type(observation).__name__}, expected an array or a dict of "
            "arrays"
        )
    if np.dtype(observation.dtype) == np.uint8:
        return gymnasium.spaces.Box(0, 255, observation.shape, np.uint8)
    return gymnasium.spaces.Box(-np.inf, np.inf, observation.shape, np.float32)


def _has(env: Any, attribute: str, task: str) -> bool:
    try:
        return hasattr(env, attribute)
    except Exception as error:  # a property of user code
        raise UserError(f"task '{task}': {attribute} raised {describe_exception(error)}") from error


def _whole_number(value: Any, what: str, task: str) -> int:
    """Return a number of at least 1.

    Raises:
        UserError: It is another value.
    """
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise UserError(f"task '{task}' has the {what} {value!r}, expected a whole number of at least 1")
    return number


def _success(state: PyTree) -> Any:
    """Return the success in a state, of which there may only be the shape; None if it is not reported."""
    for reports in (getattr(state, "info", None), getattr(state, "metrics", None)):
        if isinstance(reports, Mapping):
            for key in SUCCESS_KEYS:
                if key in reports and np.size(reports[key]) == 1:
                    return reports[key]
    return None


def _as_type(leaf: Any, like: Any) -> jax.Array:
    """Return a leaf with the dtype of another, which is not a weak one."""
    if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
        return leaf
    return jax.lax.convert_element_type(jnp.asarray(leaf), like.dtype)
