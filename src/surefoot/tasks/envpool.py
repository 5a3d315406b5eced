"""EnvPool: environments stepped by C++ threads of this process.

EnvPool (https://github.com/sail-sg/envpool, version 1.2.6 or later) fixes the seeds of its environments when a pool is
made. Evaluation episodes are seeded one by one, each in a pool made for it. In training, environment i of a seed is one
slot of a pool, and its episode e follows its e-th reset; a resumed run makes the pool again, resets each slot as often
and replays the actions of the unfinished episode.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from surefoot.errors import EnvironmentFailure, MissingDependency, UserError, suggest
from surefoot.machine import usable_cores
from surefoot.spaces import EnvSpaces
from surefoot.tasks.rendering import Camera, View
from surefoot.tasks.seeding import episode_seed
from surefoot.tasks.slots import VectorStep
from surefoot.tasks.spaces import describe_spaces
from surefoot.tasks.success import SUCCESS_KEYS
from surefoot.tasks.task import PoolSpec
from surefoot.tasks.vector import VectorEnv
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
        self.spaces = spaces if spec.keys is None else _in_order(spaces, spec.keys, task)
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
        """End the threads."""
        self._pool.close()

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
    raise UserError(
        f"EnvPool cannot be imported ({one_line(error)}): it needs the system libraries libEGL and libOpenGL (Debian: "
        "apt install libegl1 libopengl0)"
    ) from error


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


def _in_order(spaces: EnvSpaces, keys: tuple[str, ...], task: str) -> EnvSpaces:
    by_key = {part.key: part for part in spaces.observation}
    if missing := [key for key in keys if key not in by_key]:
        raise UserError(f"task '{task}': EnvPool's observation has no {missing[0]!r}: another version is installed")
    return dataclasses.replace(spaces, observation=tuple(by_key[key] for key in keys))


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


class PoolVectorEnv(VectorEnv):
    """Slots stepped by EnvPool's threads, which also run between ``step_async`` and ``step_wait``.

    Args:
        spec: The environment.
        task: Name of the task.
        slot_seeds: Training seed of each slot.
        stream: "train" or "evaluate".
        action_repeat: Control steps per decision.
        autoreset: Whether the step that ends an episode starts the next one.
        environments: Number of each slot within its seed; None for none.
        num_threads: C++ threads; None for one per core.
    """

    def __init__(
        self,
        spec: PoolSpec,
        task: str,
        slot_seeds: Sequence[int],
        stream: str,
        action_repeat: int,
        autoreset: bool,
        environments: Sequence[int | None] | None,
        num_threads: int | None,
    ) -> None:
        super().__init__(len(slot_seeds), 0, autoreset)
        self._spec, self._task, self._stream, self._repeat = spec, task, stream, action_repeat
        self._ids = tuple(zip(slot_seeds, environments or [None] * len(slot_seeds), strict=True))
        self._threads = min(num_threads or usable_cores(), len(slot_seeds))
        self._pool: Pool | None = None
        self._all = np.arange(len(slot_seeds))
        probe = Pool(spec, [0], task, 1)
        self.spaces = probe.spaces
        probe.close()
        self._observation = np.zeros((len(slot_seeds), self.observation_size), np.float32)
        self._running = np.zeros(len(slot_seeds), bool)
        self._actions = np.zeros(0)

    def step_async(self, actions: np.ndarray) -> None:
        """Start the first control step."""
        self._actions = self.spaces.action.from_unit(actions)
        if self._running.any():
            self._send(np.flatnonzero(self._running))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _send(self, ids: np.ndarray) -> None:
        assert self._pool is not None
        self._pool.send(self._actions[ids], ids)

    def _reset(self, episodes: np.ndarray) -> np.ndarray:
        self.close()
        # A slot in training counts its episodes; an evaluation's plays a single one, with a seed of its own.
        first = np.zeros_like(episodes) if self._autoreset else episodes
        seeds = [
            episode_seed(self._task, seed, self._stream, int(episode), environment)
            for (seed, environment), episode in zip(self._ids, first, strict=True)
        ]
        self._pool = Pool(self._spec, seeds, self._task, self._threads)
        left = episodes - first
        self._observation = self._pool.reset(self._all)
        while (behind := np.flatnonzero(left > 0)).size:
            self._observation[behind] = self._pool.reset(behind)
            left[behind] -= 1
        self._running[:] = True
        self._require_finite(self._all, self._observation, np.zeros(len(self._all), np.float32))
        return self._observation.copy()

    def _finish_step(self) -> VectorStep:
        slots = len(self._all)
        active, success, reports = self._running.copy(), np.zeros(slots, bool), np.zeros(slots, bool)
        reward, env_steps = np.zeros(slots, np.float32), np.zeros(slots, np.int32)
        terminated, truncated = np.zeros((2, slots), bool)
        next_observation, ids = self._observation.copy(), np.flatnonzero(active)
        for repeat in range(self._repeat if ids.size else 0):
            if repeat:
                self._send(ids)
            assert self._pool is not None
            step = self._pool.receive()
            next_observation[ids], terminated[ids], truncated[ids] = step.observation, step.terminated, step.truncated
            reward[ids] += step.reward
            env_steps[ids] += 1
            if step.success is not None:
                success[ids], reports[ids] = step.success, True
            self._require_finite(ids, step.observation, step.reward)
            ids = ids[~(step.terminated | step.truncated)]
            if not ids.size:
                break
        observation, ended = next_observation.copy(), np.flatnonzero(terminated | truncated)
        if ended.size and self._autoreset:
            assert self._pool is not None
            observation[ended] = self._pool.reset(ended)
            self._require_finite(ended, observation[ended], np.zeros(len(ended), np.float32))
        elif ended.size:
            self._running[ended] = False
        self._observation = observation
        return VectorStep(
            next_observation=next_observation,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            env_steps=env_steps,
            success=success,
            reports_success=reports,
            observation=observation.copy(),
            active=active,
        )

    def _restore(self, episodes: np.ndarray, actions: Sequence[np.ndarray]) -> np.ndarray:
        self._reset(episodes)
        autoreset, self._autoreset = self._autoreset, False
        lengths = np.array([len(own) for own in actions])
        rows = np.zeros((len(self._all), self.action_size), np.float32)
        for step in range(lengths.max(initial=0)):
            paused = self._running & (lengths <= step)
            self._running &= ~paused
            for slot in np.flatnonzero(self._running):
                rows[slot] = actions[slot][step]
            self.step_async(rows)
            self._finish_step()
            self._running |= paused
        self._autoreset = autoreset
        return self._observation.copy()

    def _require_finite(self, ids: np.ndarray, observation: np.ndarray, reward: np.ndarray) -> None:
        for name, finite in (("observation", np.isfinite(observation).all(axis=1)), ("reward", np.isfinite(reward))):
            if not finite.all():
                seed, environment = self._ids[int(ids[int(np.argmin(finite))])]
                raise EnvironmentFailure(seed, f"the environment returned a non-finite {name}", environment)
