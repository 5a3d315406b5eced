"""EnvPool: environments stepped by C++ threads of this process (https://github.com/sail-sg/envpool)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from surefoot.errors import MissingDependency, UserError, suggest
from surefoot.machine import usable_cores
from surefoot.spaces import EnvSpaces
from surefoot.tasks.rendering import Camera, View
from surefoot.tasks.spaces import describe_spaces
from surefoot.tasks.success import SUCCESS_KEYS
from surefoot.tasks.task import PoolSpec
from surefoot.tasks.wrappers import Advance


class PoolStep(NamedTuple):
    """Results of one control step of n environments."""

    observation: np.ndarray
    """[n, O] float32"""
    reward: np.ndarray
    """[n] float32"""
    terminated: np.ndarray
    """[n] bool"""
    truncated: np.ndarray
    """[n] bool"""
    success: np.ndarray | None
    """[n] bool; None if success is not reported."""


class Pool:
    """Environments of one id, which are reset and stepped in groups.

    Args:
        spec: The environment.
        seeds: Seed of each environment.
        task: Name of the task, for error messages.
        num_threads: C++ threads; 0 for one per core.

    Attributes:
        spaces: Observations and actions.
        horizon: Control steps after which an episode is truncated.

    Raises:
        MissingDependency: EnvPool is not installed.
        UserError: It cannot be imported, has no such environment, or its spaces are not supported.
    """

    def __init__(self, spec: PoolSpec, seeds: Sequence[int], task: str, num_threads: int = 0) -> None:
        envpool = import_envpool()
        options: dict[str, Any] = {} if spec.horizon is None else {"max_episode_steps": spec.horizon}
        check_id(spec.env_id, task)
        try:
            self._pool = envpool.make(
                spec.env_id,
                env_type="gymnasium",
                num_envs=len(seeds),
                seed=list(seeds),
                num_threads=min(num_threads or usable_cores(), len(seeds)),
                **options,
            )
        except Exception as error:  # assertions, and errors of its C++ code
            raise UserError(f"task '{task}': EnvPool cannot make {spec.env_id}: {one_line(error)}") from error
        spaces = describe_spaces(self._pool.observation_space, self._pool.action_space, task)
        self.spaces = _as_in_suite(spaces, spec, task)
        self.horizon = int(self._pool.config["max_episode_steps"])

    def reset(self, ids: np.ndarray) -> np.ndarray:
        """Start the next episode of some environments [n] and return the first observations [n, O]."""
        observation, info = self._pool.reset(ids.astype(np.int32))
        return self._flat(observation)[_order(info, ids)]

    def send(self, actions: np.ndarray, ids: np.ndarray) -> None:
        """Start a control step of some environments, with actions [n, *shape] in their own units."""
        self._ids = ids
        self._pool.send(actions, ids.astype(np.int32))

    def receive(self) -> PoolStep:
        """Wait for the control step that ``send`` started."""
        observation, reward, terminated, truncated, info = self._pool.recv()
        order = _order(info, self._ids)
        terminated = terminated[order].astype(bool)
        return PoolStep(
            observation=self._flat(observation)[order],
            reward=np.asarray(reward, np.float32)[order],
            terminated=terminated,
            truncated=truncated[order].astype(bool) & ~terminated,
            success=_success(info, order),
        )

    def close(self) -> None:
        """End the threads, which takes the pool's last reference."""
        self._pool.close()
        self._pool = None

    def _flat(self, observation: Any) -> np.ndarray:
        """Return observations [n, O] float32 as new arrays: EnvPool writes the next ones to the same memory."""
        parts = [np.asarray(part.of(observation), np.float32) for part in self.spaces.observation]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def import_envpool() -> Any:
    """Import EnvPool.

    Raises:
        MissingDependency: It is not installed.
        UserError: It cannot be imported, as where the system lacks libEGL or libOpenGL, or is too old.
    """
    try:
        import envpool
    except ModuleNotFoundError as error:
        if error.name == "envpool":
            raise MissingDependency("envpool", "envpool", "the engine EnvPool") from error
        _fail(error)
    except (ImportError, OSError) as error:
        _fail(error)
    version = tuple(int(part) for part in envpool.__version__.split(".")[:3] if part.isdigit())
    if version < (1, 2, 6):  # before, resets of MyoSuite did not randomise
        raise UserError(f"EnvPool {envpool.__version__} is too old, expected 1.2.6 or later: pip install -U envpool")
    return envpool


def _fail(error: Exception) -> NoReturn:
    message = f"EnvPool cannot be imported: {one_line(error)}"
    if "libEGL" in message or "libOpenGL" in message:
        message += "; it needs the system libraries libEGL and libOpenGL (Debian: apt install libegl1 libopengl0)"
    raise UserError(message) from error


def one_line(error: Exception) -> str:
    """Return an error's message on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@functools.cache
def list_ids() -> tuple[str, ...]:
    """Return EnvPool's ids, without the aliases that name their suite."""
    return tuple(sorted(env_id for env_id in import_envpool().list_all_envs() if "/" not in env_id))


def check_id(env_id: str, task: str) -> None:
    """Validate an id.

    Raises:
        UserError: EnvPool has no such environment.
    """
    known = import_envpool().list_all_envs()
    if env_id not in known:
        near = suggest(env_id, list_ids())
        raise UserError(
            f"unknown task '{task}': EnvPool has no {env_id!r}{near}; `surefoot tasks --engine envpool` lists them"
        )


def _as_in_suite(spaces: EnvSpaces, spec: PoolSpec, task: str) -> EnvSpaces:
    """Return the spaces with the suite's keys, in its order, and its dtype."""
    parts = {part.key: part for part in spaces.observation}
    keys = tuple(parts) if spec.keys is None else spec.keys
    if missing := [key for key in keys if key not in parts]:
        raise UserError(f"task '{task}': EnvPool's observation has no {missing[0]!r}: another version is installed")
    chosen, action = tuple(parts[key] for key in keys), spaces.action
    if spec.dtype is not None:
        chosen = tuple(dataclasses.replace(part, dtype=spec.dtype) for part in chosen)
        action = dataclasses.replace(action, dtype=spec.dtype)  # EnvPool converts actions itself
    return EnvSpaces(chosen, action)


def _order(info: dict[str, Any], ids: np.ndarray) -> np.ndarray:
    """Return where the environments ``ids`` are among those received."""
    received = np.asarray(info["env_id"])
    places = np.empty(int(received.max()) + 1, np.int64)
    places[received] = np.arange(len(received))
    return places[ids]


def _success(info: dict[str, Any], order: np.ndarray) -> np.ndarray | None:
    for key in SUCCESS_KEYS:
        if key in info:
            return np.asarray(info[key], np.float32).reshape(len(order), -1)[order, 0] > 0.5
    return None


class PoolSimulation:
    """A single environment of EnvPool in control steps, in a new pool for every episode."""

    def __init__(self, spec: PoolSpec, task: str) -> None:
        self._spec, self._task = spec, task
        self._pool = Pool(spec, [0], task, 1)
        self.spaces = self._pool.spaces
        self._only = np.zeros(1, np.int64)
        self._observation = np.zeros(self.spaces.observation_size, np.float32)
        self._solved: bool | None = None

    def reset(self, seed: int) -> None:
        """Start the episode of `seed`."""
        self._pool.close()
        self._pool = Pool(self._spec, [seed], self._task, 1)
        (self._observation,) = self._pool.reset(self._only)
        self._solved = None if self._solved is None else False

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step."""
        self._pool.send(action[None], self._only)
        step = self._pool.receive()
        (self._observation,) = step.observation
        self._solved = None if step.success is None else bool(step.success[0])
        return Advance(float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]))

    def observe(self) -> np.ndarray:
        """Return the current observation, [O] float32."""
        return self._observation.copy()

    def solved(self) -> bool | None:
        """Return whether the task counts as solved; None if EnvPool does not report it."""
        return self._solved

    def control_seconds(self) -> None:
        """Return None: EnvPool does not tell."""

    def camera(self, view: View) -> Camera:
        """Raise an error: EnvPool's pictures are not supported."""
        raise UserError(f"task '{self._task}' runs in EnvPool, which cannot be filmed")

    def close(self) -> None:
        """End the threads."""
        self._pool.close()
