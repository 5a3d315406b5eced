"""A user's own code inside a run: look at every step, act on evaluations, stop early."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from surefoot.errors import UserError
from surefoot.training.events import CheckpointSaved, EvaluationDone, Observer, Progress, RunFinished, RunStarted

if TYPE_CHECKING:
    from surefoot.tasks import VectorStep
    from surefoot.training.counters import Counters


class StopTraining(Exception):
    """Raised by a callback to end the run after this agent step, with a checkpoint, as a signal would.

    What is due at this step still happens (its rows, its evaluation) and the other callbacks hear of it, so a run that
    ``resume`` goes on with later is bit for bit the one that was never stopped.
    """


@dataclass(frozen=True)
class StepView:
    """One agent step of all S seeds. The arrays are immutable copies: keep them if you like.

    Attributes:
        env_steps: simulator control steps per seed, this step included.
        agent_steps: decisions per seed, this step included.
        grad_steps: critic updates per seed, those of this step included.
        seeds: the S training seeds.
        observation: [S, O] float32, what the agents act on next: the first one of a new episode where one ended.
        action: [S, A] float32 in [-1, 1], the actions taken.
        reward: [S] float32, summed over the action repeat.
        terminated: [S] bool, the episode ended in a state whose value is zero.
        truncated: [S] bool, the episode ended on its time limit.
    """

    env_steps: int
    agent_steps: int
    grad_steps: int
    seeds: tuple[int, ...]
    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray

    @classmethod
    def make(cls, counters: Counters, action: np.ndarray, step: VectorStep) -> Self:
        """Return the view of a step from the actions taken and their outcome."""
        return cls(
            env_steps=counters.env_steps,
            agent_steps=counters.agent_steps,
            grad_steps=counters.grad_steps,
            seeds=counters.plan.seeds,
            observation=step.observation,
            action=action,
            reward=step.reward,
            terminated=step.terminated,
            truncated=step.truncated,
        )

    def __post_init__(self) -> None:
        """Copy the arrays into memory that nobody can write to, not even by setting a flag."""
        for name in ("observation", "action", "reward", "terminated", "truncated"):
            array: np.ndarray = getattr(self, name)
            object.__setattr__(self, name, np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape))


class Callback:
    """Override what you need; each method does nothing otherwise.

    Order: ``on_start``; then ``on_step`` after every agent step, followed by ``on_evaluation`` where one is due; and
    ``on_checkpoint`` between two agent steps, once a checkpoint has been written, some steps after it was made and
    before the next one is made (both also at step 0 of a new run); ``on_finish``; ``close``. Each method of
    several callbacks is called in the order of the callbacks, always by the thread that trains.

    A callback cannot change what is trained: the run's bits are those of a run without it. ``StopTraining``, raised in
    any method, ends the run in good order. Whatever else a method raises ends it at once and reaches the caller of
    ``train`` or ``resume`` unchanged; the last checkpoint is intact and the run can be resumed.
    """

    def on_start(self, event: RunStarted) -> None:
        """The run begins, or goes on."""

    def on_step(self, view: StepView) -> None:
        """After every agent step: this is inside the training loop, so be quick."""

    def on_evaluation(self, event: EvaluationDone) -> None:
        """After every evaluation; its rows are on disk. It was of the policies at the event's ``env_steps``."""

    def on_checkpoint(self, event: CheckpointSaved) -> None:
        """A checkpoint and its policy have come to be on disk, written while the run went on; see ``env_steps``."""

    def on_finish(self, event: RunFinished) -> None:
        """The run reached its last step, or was stopped in good order. Not called where it failed."""

    def close(self) -> None:
        """The run is over, however it ended: let go of files, connections, processes.

        Called exactly once per ``train`` or ``resume`` that got as far as its run directory, after ``on_finish`` where
        the run ended in good order and without it where something failed; also where ``on_start`` was never reached,
        so it must do no harm then. A request that is refused before anything is written calls no method at all.
        """


class EventDispatcher:
    """The observer and the callbacks of one run, and the one place that calls them.

    Use it in a ``with`` block around the run: it closes the callbacks.

    Args:
        observer: told first.
        callbacks: told after it, in this order.

    Attributes:
        stop: a callback asked for the end of the run.
        raised: what a callback raised, which must reach the caller as it is; None while nothing was.

    Raises:
        UserError: a callback is not a ``Callback`` object.
    """

    def __init__(self, observer: Observer, callbacks: Sequence[Callback] = ()) -> None:
        self.stop = False
        self.raised: Exception | None = None
        self._observer = observer
        self._callbacks = _checked(callbacks)
        self._all: tuple[Observer | Callback, ...] = (observer, *self._callbacks)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        """Close every callback; what one raises here neither keeps the others open nor hides why the run failed."""
        first = None
        for callback in self._callbacks:
            try:
                callback.close()
            except StopTraining:
                continue  # The run is over already.
            except Exception as failure:
                first = first or failure
                if error is not None:
                    error.add_note(f"{type(callback).__name__}.close failed as well: {failure!r}")
        if error is None and first is not None:
            raise first

    def on_start(self, event: RunStarted) -> None:
        """The run begins, or goes on."""
        self._tell([watcher.on_start for watcher in self._all], event)

    def on_step(self, make_view: Callable[[], StepView]) -> None:
        """An agent step is done; the view of it is made only where somebody looks."""
        if self._callbacks:
            self._tell([callback.on_step for callback in self._callbacks], make_view())

    def on_progress(self, event: Progress) -> None:
        """A few times per second."""
        self._tell([self._observer.on_progress], event)

    def on_evaluation(self, event: EvaluationDone) -> None:
        """An evaluation's rows are on disk."""
        self._tell([watcher.on_evaluation for watcher in self._all], event)

    def on_checkpoint(self, event: CheckpointSaved) -> None:
        """A checkpoint is on disk."""
        self._tell([callback.on_checkpoint for callback in self._callbacks], event)

    def on_message(self, text: str) -> None:
        """One line a person should see."""
        self._tell([self._observer.on_message], text)

    def on_finish(self, event: RunFinished) -> None:
        """The run ended in good order."""
        self._tell([watcher.on_finish for watcher in self._all], event)

    def _tell[Event](self, methods: Sequence[Callable[[Event], None]], event: Event) -> None:
        for method in methods:
            try:
                method(event)
            except StopTraining:
                self.stop = True  # Heeded between two agent steps, so that nobody misses what happens in this one.
            except Exception as error:
                self.raised = error
                raise


def _checked(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    if isinstance(callbacks, Callback):
        raise UserError(
            f"callbacks must be a list of Callback objects, got one {type(callbacks).__name__}: put it in []"
        )
    for callback in callbacks:
        if isinstance(callback, type):
            raise UserError(f"callbacks holds the class {callback.__name__}, expected an object: {callback.__name__}()")
        if not isinstance(callback, Callback):
            raise UserError(
                f"callbacks holds {callback!r}, expected objects of classes that derive from surefoot.Callback"
            )
    return tuple(callbacks)
