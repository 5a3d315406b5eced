"""User code called during a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from surefoot.errors import UserError
from surefoot.streams import is_output_failure, warn
from surefoot.training.events import CheckpointSaved, EvaluationDone, Observer, Progress, RunFinished, RunStarted

if TYPE_CHECKING:
    from surefoot.tasks import VectorStep
    from surefoot.training.counters import Counters


class StopTraining(Exception):
    """Raised by a callback to end the run after this vector step, with a checkpoint, as a signal would.

    Rows and evaluations due at this step are still written and the other callbacks are still called, so the run can be
    resumed bit-exactly.
    """


@dataclass(frozen=True)
class StepView:
    """One vector step: an agent step in each of the K environments of all S seeds. The arrays are immutable copies.

    Attributes:
        env_steps: Simulator control steps per seed, this step included.
        agent_steps: Decisions per seed, in all of its environments, this step included.
        grad_steps: Critic updates per seed, this step included.
        seeds: Training seeds, S of them.
        observation: [K, O] float32 next observations; the first one of a new episode where one ended.
        action: [K, A] float32 actions taken, in [-1, 1].
        reward: [K] float32 rewards, summed over the action repeat.
        terminated: [K] bool, whether the episode ended in a state whose value is zero.
        truncated: [K] bool, whether the episode ended on its time limit.
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
        """Copy the arrays into memory that stays read-only even if its flag is set."""
        for name in ("observation", "action", "reward", "terminated", "truncated"):
            array: np.ndarray = getattr(self, name)
            object.__setattr__(self, name, np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape))


class Callback:
    """Base class of callbacks, whose methods do nothing.

    Order of calls: ``on_start``; ``on_step`` after every vector step, followed by ``on_evaluation`` where one is due;
    ``on_checkpoint`` between two vector steps, once a checkpoint has been written and before the next one is made;
    ``on_finish``; ``close``. A new run also evaluates and makes a checkpoint at step 0. Callbacks are called in their
    order, by the thread that trains.

    Callbacks do not affect training: the run is bit-identical to one without them. ``StopTraining``, raised in any
    method, stops the run after a checkpoint. Any other exception ends the run at once and reaches the caller of
    ``train`` or ``resume`` unchanged; the last checkpoint is intact and the run can be resumed.
    """

    def on_start(self, event: RunStarted) -> None:
        """A run starts or resumes."""

    def on_step(self, view: StepView) -> None:
        """After every vector step; should return quickly, since training waits.

        Environments written in JAX take many vector steps at a time, and this is called with the last one of them.
        """

    def on_evaluation(self, event: EvaluationDone) -> None:
        """After every evaluation, once its rows have been written."""

    def on_checkpoint(self, event: CheckpointSaved) -> None:
        """A checkpoint and its policy have been written; ``event.env_steps`` may be earlier than the current step."""

    def on_finish(self, event: RunFinished) -> None:
        """The run reached its last step or was stopped after a checkpoint; not called where it failed."""

    def close(self) -> None:
        """Release resources such as files, connections and processes.

        Called exactly once per ``train`` or ``resume`` that reaches its run directory, also where the run fails, even
        before ``on_start``. An invalid request calls no method at all.
        """


class EventDispatcher:
    """Calls the observer and the callbacks of one run, in a ``with`` block that closes the callbacks.

    Args:
        observer: Observer, called first, until its output fails.
        callbacks: Callbacks, called in this order.

    Attributes:
        stop: Whether a callback raised ``StopTraining``.
        raised: Exception that a callback raised, which reaches the caller unchanged; None if there is none.

    Raises:
        UserError: A callback is not a ``Callback`` object.
    """

    def __init__(self, observer: Observer, callbacks: Sequence[Callback] = ()) -> None:
        self.stop = False
        self.raised: Exception | None = None
        self._observer: Observer | None = observer
        self._callbacks = _checked(callbacks)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        """Close every callback. An exception in one is raised after all are closed, or noted on the run's failure."""
        first = None
        for callback in self._callbacks:
            try:
                callback.close()
            except StopTraining:
                continue
            except Exception as failure:
                first = first or failure
                if error is not None:
                    error.add_note(f"{type(callback).__name__}.close failed as well: {failure!r}")
        if error is None and first is not None:
            raise first

    def on_start(self, event: RunStarted) -> None:
        """A run starts or resumes."""
        self._observe("on_start", event)
        self._call([callback.on_start for callback in self._callbacks], event)

    def on_step(self, make_view: Callable[[], StepView]) -> None:
        """After every vector step, or call of many; the view is made only if there are callbacks."""
        if self._callbacks:
            self._call([callback.on_step for callback in self._callbacks], make_view())

    def on_progress(self, event: Progress) -> None:
        """A few times per second."""
        self._observe("on_progress", event)

    def on_evaluation(self, event: EvaluationDone) -> None:
        """After every evaluation."""
        self._observe("on_evaluation", event)
        self._call([callback.on_evaluation for callback in self._callbacks], event)

    def on_checkpoint(self, event: CheckpointSaved) -> None:
        """A checkpoint has been written."""
        self._call([callback.on_checkpoint for callback in self._callbacks], event)

    def on_message(self, text: str) -> None:
        """One line for the user."""
        self._observe("on_message", text)

    def on_finish(self, event: RunFinished) -> None:
        """The run reached its last step or was stopped after a checkpoint."""
        self._observe("on_finish", event)
        self._call([callback.on_finish for callback in self._callbacks], event)

    def _observe(self, name: str, event: object) -> None:
        if self._observer is None:
            return
        try:
            self._call([getattr(self._observer, name)], event)
        except Exception as error:
            if not is_output_failure(error):
                raise
            warn(f"the observer {type(self._observer).__name__} failed: {error}; the run continues without it")
            self._observer, self.raised = None, None

    def _call[Event](self, methods: Sequence[Callable[[Event], None]], event: Event) -> None:
        for method in methods:
            try:
                method(event)
            except StopTraining:
                self.stop = True  # The loop ends after this agent step, once every callback has been called.
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
