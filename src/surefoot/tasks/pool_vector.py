"""Vectors of EnvPool's environments.

EnvPool fixes the seeds of its environments when a pool is made. Evaluation episodes are seeded one by one, in a pool
made for them. In training, environment i of a seed is one slot of a pool, and its episode e follows its e-th reset; a
resumed run makes the pool again, resets each slot as often and replays the actions of the unfinished episode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from surefoot.errors import EnvironmentFailure
from surefoot.machine import usable_cores
from surefoot.tasks.envpool import Pool, one_line
from surefoot.tasks.seeding import episode_seed
from surefoot.tasks.slots import VectorStep, require_finite
from surefoot.tasks.task import PoolSpec
from surefoot.tasks.vector import VectorEnv


class PoolVectorEnv(VectorEnv):
    """Slots stepped by EnvPool's threads.

    Between ``step_async`` and ``step_wait`` they take the first control step of a decision, the others in
    ``step_wait``.

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
        with self._failures(ids):
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
        with self._failures(self._all):
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
            with self._failures(ids):
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
            with self._failures(ended):
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
                rows[slot] = actions[int(slot)][step]
            try:
                self.step_async(rows)
                self._finish_step()
            except EnvironmentFailure:  # from another state than the one in which the actions were taken
                self._running[:] = paused = np.zeros_like(paused)
                break
            self._running |= paused
        self._autoreset = autoreset
        return np.where(self._running[:, None], self._observation, np.nan)

    @contextlib.contextmanager
    def _failures(self, ids: np.ndarray) -> Iterator[None]:
        """Convert an exception of EnvPool, which does not say in which environment it was, to an EnvironmentFailure."""
        try:
            yield
        except Exception as error:
            seed, environment = self._ids[int(ids[0])]
            where = "" if len(ids) == 1 else " (or another one)"
            raise EnvironmentFailure(seed, f"EnvPool raised{where}: {one_line(error)}", environment) from error

    def _require_finite(self, ids: np.ndarray, observation: np.ndarray, reward: np.ndarray) -> None:
        require_finite([self._ids[slot] for slot in ids], observation, reward)
