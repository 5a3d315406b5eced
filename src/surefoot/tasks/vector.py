"""Many environments at once: in this process, or in worker processes, with the same bits either way."""

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
from surefoot.tasks.registry import Task
from surefoot.tasks.shared_step import SharedStep, make_file
from surefoot.tasks.slots import EnvSlots, VectorStep, require_equal
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
    background: bool = False,
) -> VectorEnv:
    """Make N environments of `task`, slot i playing the episodes of seed `slot_seeds[i]`.

    Args:
        task: what to play.
        slot_seeds: one training seed per slot; several slots may share one.
        stream: "train" or "evaluate"; with the seed and the episode's number it makes the episode.
        action_repeat: control steps per decision, in place of the task's own.
        num_workers: processes that step the environments; 0 steps them in this one. None means `choose_workers`.
        autoreset: begin the next episode in the step that ends one. Without it a finished slot waits for `reset`.
        background: worker processes take what time others leave.

    Raises:
        UserError: the task cannot be made as asked, or its environments differ in their spaces.
        EnvironmentFailure: making an environment raised, or its worker process died.
    """
    if not slot_seeds:
        raise ValueError("make_vector needs at least one slot seed")
    workers = choose_workers(len(slot_seeds)) if num_workers is None else min(num_workers, len(slot_seeds))
    if workers < 0:
        raise UserError(f"num_workers must be 0 (this process) or more, got {workers}")
    if workers == 0:
        return LocalVectorEnv(task, slot_seeds, stream, action_repeat, autoreset)
    return WorkerVectorEnv(task, slot_seeds, stream, action_repeat, autoreset, workers, background)


def choose_workers(slots: int, cores: int | None = None) -> int:
    """Return how many worker processes step `slots` environments best: one per slot, one core left to the learner.

    `cores` are those that this process may run on, unless told.

    Fewer than two workers have nothing to do at the same time, so those slots are stepped in this process; on two
    cores that is always so: four slots of cheetah-run take two workers 0.6 ms there and this process 0.3 ms, four of
    dog-run 4.9 ms and 7.4 ms, of cores that the learner's own updates fill.
    """
    workers = min(slots, (usable_cores() if cores is None else cores) - 1)
    return workers if workers > 1 else 0


class VectorEnv(abc.ABC):
    """N slots of one task; slot i plays the numbered episodes of its seed. Made by `make_vector`.

    An exception from an environment, a non-finite observation or reward, and a worker process that dies all raise
    `EnvironmentFailure`, from `reset`, `step`, `step_wait` or `restore`. What is left to do then is `close`.

    Attributes:
        num_envs: N.
        observation_size: O.
        observation_keys: the keys of the environment's Dict observation in the order in which they are joined, or None.
        action_size: A.
        action_low: [A] float32, the environment's own bound that an action of -1 is mapped to.
        action_high: [A] float32, that an action of 1 is mapped to.
        has_success: whether the task defines success.
        num_workers: processes that step the environments; 0 for this one.
        episodes: [N] int64, the number of each slot's current episode. A fresh array after every step.
    """

    observation_size: int
    observation_keys: tuple[str, ...] | None
    action_low: np.ndarray
    action_high: np.ndarray

    def __init__(self, task: Task, slots: int, num_workers: int, autoreset: bool) -> None:
        """Keep what both kinds share."""
        self.num_envs = slots
        self.num_workers = num_workers
        self.has_success = task.score_metric == "success"
        self.episodes = np.zeros(slots, np.int64)
        self._autoreset = autoreset

    @property
    def action_size(self) -> int:
        """A, the numbers in an action."""
        return int(self.action_low.shape[0])

    def reset(self, episodes: Sequence[int]) -> np.ndarray:
        """Begin episode `episodes[i]` in slot i; return the first observations, [N, O] float32."""
        self.episodes = np.array(episodes, np.int64)
        return self._reset(self.episodes)

    def step(self, actions: np.ndarray) -> VectorStep:
        """Take one decision in every slot, `actions` [N, A] float32 in [-1, 1]."""
        self.step_async(actions)
        return self.step_wait()

    @abc.abstractmethod
    def step_async(self, actions: np.ndarray) -> None:
        """Begin a step; the caller may do something else until `step_wait`, but call nothing else here."""

    def step_wait(self) -> VectorStep:
        """Finish the step begun by `step_async`."""
        step = self._finish_step()
        if self._autoreset:
            self.episodes = self.episodes + step.ended
        return step

    def restore(self, episodes: Sequence[int], actions: Sequence[np.ndarray]) -> np.ndarray:
        """Bring every slot back into an unfinished episode: reset to it and replay the actions taken in it.

        Args:
            episodes: [N], the number of each slot's episode.
            actions: per slot [T_i, A], the actions since the episode began, exactly as given to `step`.

        Returns:
            The observations to act on next, [N, O] float32. Where they are not the ones seen before, the environment
            is not a function of its seed and cannot be restored: `reset` to a new episode. A slot whose episode ends
            during the replay stops there.
        """
        self.episodes = np.array(episodes, np.int64)
        return self._restore(self.episodes, actions)

    @abc.abstractmethod
    def close(self) -> None:
        """Close the environments and end the worker processes. May be called again."""

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
    """EnvSlots stepped one after the other in this process; the work is done in `step_wait`."""

    def __init__(
        self, task: Task, slot_seeds: Sequence[int], stream: str, action_repeat: int | None, autoreset: bool
    ) -> None:
        """Make the environments."""
        super().__init__(task, len(slot_seeds), 0, autoreset)
        self._slots = EnvSlots(task, slot_seeds, stream, action_repeat, autoreset)
        self.observation_size, self.observation_keys, self.action_low, self.action_high = self._slots.spaces
        self._actions = np.zeros(0)

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
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
    """EnvSlots in worker processes, in contiguous chunks whose sizes differ by at most one."""

    def __init__(
        self,
        task: Task,
        slot_seeds: Sequence[int],
        stream: str,
        action_repeat: int | None,
        autoreset: bool,
        num_workers: int,
        background: bool,
    ) -> None:
        """Start the workers and wait until each has made its environments."""
        super().__init__(task, len(slot_seeds), num_workers, autoreset)
        edges = np.linspace(0, len(slot_seeds), num_workers + 1).astype(int)
        self._chunks = [slice(start, stop) for start, stop in itertools.pairwise(edges.tolist())]
        self._workers: list[Worker] = []
        descriptor = make_file()
        try:
            for chunk in self._chunks:
                seeds = slot_seeds[chunk]
                worker = Worker(task, seeds, stream, action_repeat, autoreset, descriptor, background)
                self._workers.append(worker)
            spaces = require_equal(self._receive(), task.name)
            for worker, chunk in zip(self._workers, self._chunks, strict=True):
                worker.share(chunk, len(slot_seeds))
            self._shared = SharedStep(descriptor, len(slot_seeds), spaces.observation_size, len(spaces.action_low))
            self._receive()
        except BaseException:
            self.close()
            raise
        finally:
            os.close(descriptor)
        self.observation_size, self.observation_keys, self.action_low, self.action_high = spaces

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The workers' process ids, in the order of their slots."""
        return tuple(worker.pid for worker in self._workers)

    def step_async(self, actions: np.ndarray) -> None:
        """Hand each worker its actions."""
        self._shared.actions[:] = actions
        for worker in self._workers:
            worker.send_step()

    def close(self) -> None:
        """End the worker processes."""
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            worker.join()
        self._workers = []

    def _reset(self, episodes: np.ndarray) -> np.ndarray:
        for worker, chunk in zip(self._workers, self._chunks, strict=True):
            worker.send("reset", episodes[chunk])
        return np.concatenate(self._receive())

    def _finish_step(self) -> VectorStep:
        self._receive()
        return self._shared.take()

    def _restore(self, episodes: np.ndarray, actions: Sequence[np.ndarray]) -> np.ndarray:
        for worker, chunk in zip(self._workers, self._chunks, strict=True):
            worker.send("restore", episodes[chunk], list(actions[chunk]))
        return np.concatenate(self._receive())

    def _receive(self) -> list[Any]:
        return [worker.receive() for worker in self._workers]
