"""What statistics are computed from: the scores of one algorithm, by task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surefoot.errors import UserError, suggest


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one algorithm on some tasks, at T evaluation points.

    Attributes:
        tasks: names of the tasks, those included of which there is no run.
        values: for each task, in the same order, [N_t, T]: N_t runs (seeds), zero or more. Copied as float64 and
            made read-only. NaN where a run has no score at that point: it has not got there yet, was not evaluated
            there, or what it wrote cannot be read.

    Raises:
        UserError: there is no task, one is named twice, the shapes differ, or a score is infinite.
    """

    tasks: tuple[str, ...]
    values: tuple[np.ndarray, ...]

    def __init__(self, tasks: Sequence[str], values: Sequence[npt.ArrayLike]) -> None:
        own = tuple(np.array(scores, np.float64) for scores in values)
        _check(tasks, own)
        for scores in own:
            scores.setflags(write=False)
        object.__setattr__(self, "tasks", tuple(tasks))
        object.__setattr__(self, "values", own)

    @property
    def points(self) -> int:
        """T, the number of evaluation points."""
        return int(self.values[0].shape[1])

    @property
    def seeds(self) -> tuple[int, ...]:
        """How many runs each task has, missing scores or not."""
        return tuple(len(scores) for scores in self.values)

    @property
    def counts(self) -> np.ndarray:
        """[tasks, T], how many runs of each task have a score at each point."""
        return np.stack([np.sum(~np.isnan(scores), axis=0) for scores in self.values])

    @property
    def absent(self) -> tuple[str, ...]:
        """The tasks of which there is no score at any point."""
        return tuple(task for task, counts in zip(self.tasks, self.counts, strict=True) if not counts.any())

    def at(self, point: int) -> Scores:
        """Return the scores at one evaluation point.

        Args:
            point: its index; -1 for the last one.

        Raises:
            UserError: there is no such point.
        """
        if not -self.points <= point < self.points:
            raise UserError(f"there is no evaluation point {point}, expected {-self.points} to {self.points - 1}")
        return Scores(self.tasks, [scores[:, point, None] for scores in self.values])

    def select(self, tasks: Iterable[str]) -> Scores:
        """Return the scores on some of the tasks, in the order that is asked for.

        Args:
            tasks: their names.

        Raises:
            UserError: one is not among the tasks, or there is none.
        """
        chosen = tuple(tasks)
        for task in chosen:
            if task not in self.tasks:
                raise UserError(f"there are no scores on task {task!r}{suggest(task, self.tasks)}")
        return Scores(chosen, [self.values[self.tasks.index(task)] for task in chosen])


def _check(tasks: Sequence[str], values: Sequence[np.ndarray]) -> None:
    if not tasks:
        raise UserError("statistics need at least one task, got none")
    if len(tasks) != len(values):
        raise UserError(f"expected scores on each of {len(tasks)} tasks, got {len(values)} arrays")
    points = values[0].shape[-1] if values[0].ndim else 0
    for task, scores in zip(tasks, values, strict=True):
        if scores.ndim != 2:
            raise UserError(f"scores on task {task!r} must have shape [runs, points], got {list(scores.shape)}")
        if scores.shape[1] != points:
            raise UserError(
                f"every task needs the same evaluation points: {tasks[0]!r} has {points}, {task!r} {scores.shape[1]}"
            )
        if np.isinf(scores).any():
            raise UserError(f"scores on task {task!r} must be finite, or NaN where they are missing; one is infinite")
    twice = {task for task in tasks if list(tasks).count(task) > 1}
    if twice:
        raise UserError(f"every task is named once, got {min(twice)!r} twice")
