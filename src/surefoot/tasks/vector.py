"""Vectors of environments, in this process or in worker processes, with bit-identical results."""

from __future__ import annotations

import abc
import itertools
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from surefoot.errors import UserError
from surefoot.machine import usable_cores
from surefoot.spaces import EnvSpaces
from surefoot.streams import warn
from surefoot.tasks.shared_step import SharedStep, make_file
from surefoot.tasks.slots import EnvSlots, VectorStep, require_equal
from surefoot.tasks.task import Task
from surefoot.tasks.workers import Worker

__all__ = ["VectorEnv", "VectorStep", "make_vector"]


def make_vector(
    task: Task,
    slot_seeds: Sequence[int],
    stream: str,
    *,
    action_repeat: int | None = None,
    num_workers: int | None = 0,
    autoreset: bool = True,
    environments: Sequence[int | None] | None = None,
) -> VectorEnv:
    """Make environment slots of `task`; slot i plays the episodes of seed `slot_seeds[i]`.

    Args:
        task: Task to play.
        slot_seeds: Training seed of each slot; several slots may share one.
        stream: "train" or "evaluate"; an episode is a function of stream, seed, environment and episode number.
        action_repeat: Control steps per decision, instead of the task's own.
        num_workers: Number of worker processes; 0 steps in this process, None uses `choose_workers`. For EnvPool it is
            the number of its threads, None or 0 for one per core. Environments written in JAX have neither.
        autoreset: Whether the step that ends an episode starts the next one. Otherwise the slot waits for `reset`.
        environments: Number of each slot within its seed, where slots of a seed play different episodes of the same
            number; None for none.

    Raises:
        UserError: The task cannot be made, or its environments differ in their spaces.
        EnvironmentFailure: Making an environment raised, or its worker process died.
    """
    if not slot_seeds:
        raise ValueError("make_vector needs at least one slot seed")
    repeat = task.action_repeat if action_repeat is None else action_repeat
    if repeat < 1 or (num_workers or 0) < 0:
        raise UserError(
            f"expected action_repeat of at least 1 and num_workers of at least 0, got {repeat}, {num_workers}"
        )
    if task.pool is not None:
        from surefoot.tasks.pool_vector import PoolVectorEnv

        return PoolVectorEnv(
            task.pool, task.name, slot_seeds, stream, repeat, autoreset, environments, num_threads=num_workers
        )
    if task.jax is not None:
        from surefoot.simulators.vector import JaxVectorEnv, shared_environment

        env = shared_environment(task.jax)
        return JaxVectorEnv(env, task.name, slot_seeds, stream, repeat, autoreset, environments)
    workers = choose_workers(len(slot_seeds)) if num_workers is None else min(num_workers, len(slot_seeds))
    if workers == 0:
        return LocalVectorEnv(task, slot_seeds, stream, action_repeat, autoreset, environments)
    return WorkerVectorEnv(task, slot_seeds, stream, action_repeat, autoreset, environments, workers)


def choose_workers(slots: int, cores: int | None = None) -> int:
    """Return the default number of worker processes: one per slot, with one core left to the learner.

    A single worker would not run in parallel, so its slots are stepped in this process instead. On two cores that is
    always so: four slots of cheetah-run take two workers 0.6 ms there and this process 0.3 ms, four of dog-run 4.9 ms
    and 7.4 ms, of cores that the learner's updates keep busy.

    Args:
        slots: Number of environment slots.
        cores: Number of cores; None counts those that this process may run on.
    """
    workers = min(slots, (usable_cores() if cores is None else cores) - 1)
    return workers if workers > 1 else 0


class VectorEnv(abc.ABC):
    """Environment slots of one task; slot i plays the numbered episodes of its seed. Made by `make_vector`.

    An exception in an environment, a non-finite observation or reward, and the death of a worker process raise
    `EnvironmentFailure` from `reset`, `step`, `step_wait` or `restore`; only `close` is allowed afterwards.

    Attributes:
        num_envs: N, the number of slots.
        spaces: The environments' own observations and actions, to which actions in [-1, 1] are mapped.
        num_workers: Number of worker processes; 0 if the environments are stepped in this one.
        episodes: [N] int64, the number of each slot's current episode. A new array after every step.
        state: State of the slots on the device; None where only `restore` can restore them.
        horizon: Control steps after which their episodes are truncated, where the task does not know; None likewise.
    """

    spaces: EnvSpaces
    state: Any = None
    horizon: int | None = None

    def __init__(self, slots: int, num_workers: int, autoreset: bool) -> None:
        """Set the attributes common to all implementations."""
        self.num_envs = slots
        self.num_workers = num_workers
        self.episodes = np.zeros(slots, np.int64)
        self._autoreset = autoreset

    @property
    def observation_size(self) -> int:
        """O, the size of an observation."""
        return self.spaces.observation_size

    @property
    def action_size(self) -> int:
        """A, the size of an action."""
        return self.spaces.action.size

    def reset(self, episodes: Sequence[int]) -> np.ndarray:
        """Start episode `episodes[i]` in slot i; return the first observations, [N, O] float32."""
        self.episodes = np.array(episodes, np.int64)
        return self._reset(self.episodes)

    def step(self, actions: np.ndarray) -> VectorStep:
        """Take one decision in every slot, `actions` [N, A] float32 in [-1, 1]."""
        self.step_async(actions)
        return self.step_wait()

    @abc.abstractmethod
    def step_async(self, actions: np.ndarray) -> None:
        """Start a step; no other method may be called before `step_wait`."""

    def step_wait(self) -> VectorStep:
        """Finish the step started by `step_async`."""
        step = self._finish_step()
        if self._autoreset:
            self.episodes = self.episodes + step.ended
        return step

    def restore(self, episodes: Sequence[int], actions: Sequence[np.ndarray]) -> np.ndarray:
        """Restore every slot to an unfinished episode: reset to it and replay its actions.

        Args:
            episodes: [N], the episode number of each slot.
            actions: Actions of each slot since the start of its episode, [T_i, A], exactly as passed to `step`.

        Returns:
            The observations for the next actions, [N, O] float32. If they differ from those before, the environment
            is not a function of its seed and actions and cannot be restored: `reset` to a new episode. A slot whose
            episode ends during the replay stops there, and its observation is NaN, unless `state` restores it.
        """
        self.episodes = np.array(episodes, np.int64)
        return self._restore(self.episodes, actions)

    def state_shapes(self) -> Any:
        """Return the shapes of ``state``, or None."""
        return None

    def restore_state(self, state: Any) -> None:
        """Continue from a state, where there is one."""
        raise NotImplementedError

    @abc.abstractmethod
    def close(self) -> None:
        """Close the environments and end the worker processes. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abc.abstractmethod
    def _reset(self, episodes: np.ndarray) -> np.ndarray: ...

    @abc.abstractmethod
    def _finish_step(self) -> VectorStep: ...

    @abc.abstractmethod
    def _restore(self, episodes: np.ndarray, actions: Sequence[np.ndarray]) -> np.ndarray: ...


class LocalVectorEnv(VectorEnv):
    """Slots stepped one after another in this process, during `step_wait`."""

    def __init__(
        self,
        task: Task,
        slot_seeds: Sequence[int],
        stream: str,
        action_repeat: int | None,
        autoreset: bool,
        environments: Sequence[int | None] | None,
    ) -> None:
        """Make the environments."""
        super().__init__(len(slot_seeds), 0, autoreset)
        self._slots = EnvSlots(task, slot_seeds, stream, action_repeat, autoreset, environments)
        self.spaces = self._slots.spaces
        self._actions = np.zeros(0)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def close(self) -> None:
        """Close the environments."""
        self._slots.close()

    def _reset(self, episodes: np.ndarray) -> np.ndarray:
        return self._slots.reset(episodes)

    def _finish_step(self) -> VectorStep:
        return self._slots.step(self._actions)

    def _restore(self, episodes: np.ndarray, actions: Sequence[np.ndarray]) -> np.ndarray:
        return self._slots.restore(episodes, actions)


class WorkerVectorEnv(VectorEnv):
    """Slots in worker processes, in contiguous chunks whose sizes differ by at most one."""

    def __init__(
        self,
        task: Task,
        slot_seeds: Sequence[int],
        stream: str,
        action_repeat: int | None,
        autoreset: bool,
        environments: Sequence[int | None] | None,
        num_workers: int,
    ) -> None:
        """Start the workers and wait until each has made its environments."""
        super().__init__(len(slot_seeds), num_workers, autoreset)
        edges = np.linspace(0, len(slot_seeds), num_workers + 1).astype(int)
        self._chunks = [slice(start, stop) for start, stop in itertools.pairwise(edges.tolist())]
        self._workers: list[Worker] = []
        descriptor = make_file()
        try:
            for chunk in self._chunks:
                own = None if environments is None else environments[chunk]
                worker = Worker(task, slot_seeds[chunk], stream, action_repeat, autoreset, own, descriptor)
                self._workers.append(worker)
            self.spaces = require_equal(self._receive(), task.name)
            for worker, chunk in zip(self._workers, self._chunks, strict=True):
                worker.send("share", chunk.start, chunk.stop, len(slot_seeds))
            self._shared = SharedStep(descriptor, len(slot_seeds), self.observation_size, self.action_size)
            self._receive()
        except BaseException:
            self.close()
            raise
        finally:
            os.close(descriptor)

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers, in the order of their slots."""
        return tuple(worker.pid for worker in self._workers)

    def step_async(self, actions: np.ndarray) -> None:
        """Send the actions to the workers."""
        self._shared.actions[:] = actions
        for worker in self._workers:
            worker.send_step()

    def close(self) -> None:
        """End the worker processes."""
        for worker in self._workers:
            worker.disconnect()
        workers, self._workers = self._workers, []
        if killed := sum([worker.join() for worker in workers]):
            warn(
                f"{killed} of {len(workers)} worker processes had to be killed: environments were busy, or took too "
                "long to close"
            )

    def _reset(self, episodes: np.ndarray) -> np.ndarray:
        for worker, chunk in zip(self._workers, self._chunks, strict=True):
            worker.send("reset", episodes[chunk])
        return np.concatenate(self._receive())

    def _finish_step(self) -> VectorStep:
        self._receive()
        return self._shared.read()

    def _restore(self, episodes: np.ndarray, actions: Sequence[np.ndarray]) -> np.ndarray:
        for worker, chunk in zip(self._workers, self._chunks, strict=True):
            worker.send("restore", episodes[chunk], list(actions[chunk]))
        return np.concatenate(self._receive())

    def _receive(self) -> list[Any]:
        return [worker.receive() for worker in self._workers]
