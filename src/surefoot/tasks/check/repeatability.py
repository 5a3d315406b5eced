"""Whether an episode is a function of its seed and its actions: alone, after others, beside others, elsewhere."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.tasks.check.monitored_env import Subject, Watched
from surefoot.tasks.check.report import Notes
from surefoot.tasks.registry import Task
from surefoot.tasks.vector import make_vector

_SETTLING_STEPS = 50
"""How many steps are compared with those of another process, where simulations have parted ways long since."""


@dataclass
class Trace:
    """What training would see of the episodes of consecutive seeds.

    Attributes:
        first: the first observation of each episode, [O] float32.
        steps: every step, with the episode it belongs to.
    """

    first: list[np.ndarray] = field(default_factory=list)
    steps: list[tuple[int, Watched]] = field(default_factory=list)


def record(subject: Subject, seed: int, actions: np.ndarray) -> Trace:
    """Play `actions` [T, ...] and return what came of it; episode k has the seed `seed` + k.

    Raises:
        Unusable: the environment broke.
    """
    trace = Trace()
    for _ in _recording(subject, seed, actions, trace):
        pass
    return trace


def record_interleaved(one: Subject, other: Subject, seed: int, other_seed: int, actions: np.ndarray) -> Trace:
    """Return what `record` of `one` does, while `other` takes the same actions in between, with seeds of its own."""
    trace = Trace()
    for _ in zip(_recording(one, seed, actions, trace), _recording(other, other_seed, actions, Trace()), strict=True):
        pass
    return trace


def difference(one: Trace, other: Trace) -> str | None:
    """Say where two traces first differ in any bit; None where they do not."""
    for episode, (mine, theirs) in enumerate(zip(one.first, other.first, strict=False)):
        if not np.array_equal(mine, theirs):
            return f"in the first observation of episode {episode}: {_where(mine, theirs)}"
    for number, ((episode, mine_), (_, theirs_)) in enumerate(zip(one.steps, other.steps, strict=True), start=1):
        place = f"at step {number} (episode {episode})"
        if not np.array_equal(mine_.observation, theirs_.observation):
            return f"{place}: {_where(mine_.observation, theirs_.observation)}"
        if mine_.reward != theirs_.reward:
            return f"{place}: the reward is {mine_.reward:.9g}, then {theirs_.reward:.9g}"
        if mine_[2:4] != theirs_[2:4]:
            return f"{place}: terminated and truncated are {mine_[2:4]}, then {theirs_[2:4]}"
    return None


def check_repeats(make: Callable[[], Subject], seed: int, actions: np.ndarray, notes: Notes) -> bool:
    """Play the same seeds and actions in several ways; return whether they always gave the same.

    Raises:
        Unusable: the environment broke.
    """
    with _global_generators(notes):
        subject, other = make(), make()
        reference = record(subject, seed, actions)
        again = record(other, seed, actions)
    if difference(reference, record(other, seed + 1000, actions)) is None:
        notes.add("seed-no-effect", f"seeds {seed} and {seed + 1000}: the same in every bit, over {len(actions)} steps")
    if not np.array_equal(reference.first[0], again.first[0]):
        notes.add("seed-ignored", f"seed {seed} in two copies: {_where(reference.first[0], again.first[0])}")
        return False
    if found := difference(reference, again):
        notes.add("replay-differs", f"two copies differ {found}")
        return False
    if found := difference(reference, record(other, seed, actions)):
        notes.add("reset-incomplete", f"a copy that has played before differs from a fresh one {found}")
        return False
    if found := difference(reference, record_interleaved(subject, other, seed, seed + 1000, actions)):
        notes.add("shared-state", f"played beside another copy, the same episodes differ {found}")
        return False
    _check_after_the_end(other, seed, reference, actions, notes)
    return True


def check_other_process(task: Task, seed: int, notes: Notes) -> None:
    """Play the same episodes here and in a worker process, as training does."""
    observations = []
    for workers in (0, 1):
        try:
            with make_vector(task, [seed], "train", action_repeat=1, num_workers=workers) as vector:
                rng = np.random.default_rng(seed)
                seen = [vector.reset([0])]
                for _ in range(_SETTLING_STEPS):
                    action = rng.uniform(-1.0, 1.0, (1, vector.action_size)).astype(np.float32)
                    step = vector.step(action)
                    seen.append(np.column_stack([step.next_observation, step.reward]))
                observations.append(seen)
        except UserError as error:
            notes.add("not-sendable", str(error))
            return
        except EnvironmentFailure as error:
            notes.add("raises", f"{'in a worker process: ' if workers else ''}{error.detail}")
            return
    for number, (mine, theirs) in enumerate(zip(*observations, strict=True)):
        if not np.array_equal(mine, theirs):
            place = f"at step {number}" if number else "in the first observation"
            notes.add("process-differs", f"{place}: {_where(mine[0], theirs[0])}")
            return


def _check_after_the_end(subject: Subject, seed: int, reference: Trace, actions: np.ndarray, notes: Notes) -> None:
    """Step once past the end of an episode, where one is near, and see whether the next one is as it was."""
    end = next((number for number, (_, step) in enumerate(reference.steps) if step.ended), None)
    if end is None:
        return
    record(subject, seed, actions[: end + 1])
    subject.step_past_the_end(actions[0])
    if found := difference(reference, record(subject, seed, actions)):
        notes.add("step-after-end", f"the episodes after it differ {found}")


def _recording(subject: Subject, seed: int, actions: np.ndarray, trace: Trace) -> Iterator[None]:
    ended = True
    for action in actions:
        if ended:
            trace.first.append(subject.reset(seed + len(trace.first)))
        step = subject.step(action)
        trace.steps.append((len(trace.first) - 1, step))
        ended = step.ended
        yield


@contextlib.contextmanager
def _global_generators(notes: Notes) -> Iterator[None]:
    """Note whether what happens inside draws from the generators that all code in a process shares."""
    before = _numpy_state(), random.getstate()
    yield
    after = _numpy_state(), random.getstate()
    for name, was, now in zip(("np.random", "Python's random"), before, after, strict=True):
        if was != now:
            notes.add("global-random", f"{name} was drawn from or seeded")


def _numpy_state() -> tuple[bytes, int, int, float]:
    _, keys, position, has_normal, normal = np.random.get_state(legacy=True)  # noqa: NPY002  (what is looked for)
    return np.asarray(keys).tobytes(), position, has_normal, normal


def _where(mine: np.ndarray, theirs: np.ndarray) -> str:
    """The first entry in which two observations differ, and the largest difference."""
    index = int(np.argmax(mine != theirs))
    largest = float(np.max(np.abs(mine.astype(np.float64) - theirs)))
    return f"entry {index} is {mine[index]:.9g}, then {theirs[index]:.9g} (largest difference {largest:.2g})"
