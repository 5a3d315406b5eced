"""Scores, and the aggregates of them: interquartile mean, mean, median, optimality gap.

An aggregate is a function of ``WeightedRuns``, for R resamples at once: a resample draws runs with replacement, so it
gives each run a weight, and nothing is copied or sorted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surefoot.errors import UserError, suggest


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one algorithm on some tasks, at T evaluation points.

    Attributes:
        tasks: Names of the tasks, including those without runs.
        values: [N_t, T] for each task in the same order, with N_t >= 0 runs (seeds). Copied as float64 and made
            read-only. NaN where a run has no score at that point: it has not reached it, was not evaluated there, or
            its log cannot be read.

    Raises:
        UserError: There is no task, a task is repeated, the shapes differ, or a score is infinite.
    """

    tasks: tuple[str, ...]
    values: tuple[np.ndarray, ...]

    def __init__(self, tasks: Sequence[str], values: Sequence[npt.ArrayLike]) -> None:
        own = tuple(np.array(scores, np.float64) for scores in values)
        _validate(tasks, own)
        for scores in own:
            scores.setflags(write=False)
        object.__setattr__(self, "tasks", tuple(tasks))
        object.__setattr__(self, "values", own)

    @property
    def points(self) -> int:
        """Number T of evaluation points."""
        return int(self.values[0].shape[1])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Number of runs of each task, including those without scores."""
        return tuple(len(scores) for scores in self.values)

    @property
    def counts(self) -> np.ndarray:
        """Number of runs of each task with a score at each point, [tasks, T]."""
        return np.stack([np.sum(~np.isnan(scores), axis=0) for scores in self.values])

    @property
    def absent(self) -> tuple[str, ...]:
        """Tasks without a score at any point."""
        return tuple(task for task, counts in zip(self.tasks, self.counts, strict=True) if not counts.any())

    def at(self, point: int) -> Scores:
        """Return the scores at one evaluation point.

        Args:
            point: Index of the point; -1 for the last one.

        Raises:
            UserError: There is no such point.
        """
        if not -self.points <= point < self.points:
            raise UserError(f"there is no evaluation point {point}, expected {-self.points} to {self.points - 1}")
        return Scores(self.tasks, [scores[:, point, None] for scores in self.values])

    def select(self, tasks: Iterable[str]) -> Scores:
        """Return the scores on some of the tasks, in the given order.

        Args:
            tasks: Names of at least one of the tasks.

        Raises:
            UserError: A name is not among the tasks, or there is none.
        """
        chosen = tuple(tasks)
        for task in chosen:
            if task not in self.tasks:
                raise UserError(f"there are no scores on task {task!r}{suggest(task, self.tasks)}")
        return Scores(chosen, [self.values[self.tasks.index(task)] for task in chosen])


@dataclass(frozen=True, eq=False)
class WeightedRuns:
    """The P runs of K tasks with a score at one evaluation point, weighted in R resamples.

    Attributes:
        values: Scores [P], ascending.
        task: Task of each run [P], from 0 to K - 1.
        weights: Share of each run in its task [R, P]: 0 where it was not drawn; the shares of a task add up to 1.
        drawn: Number of runs drawn [R].
        tasks: Number of tasks K, at least 1.
    """

    values: np.ndarray
    task: np.ndarray
    weights: np.ndarray
    drawn: np.ndarray
    tasks: int


type Aggregate = Callable[[WeightedRuns], np.ndarray]
"""From weighted runs to [R], one number for each resample."""


def iqm(runs: WeightedRuns) -> np.ndarray:
    """Return the interquartile mean [R]: the mean without the lowest and the highest quarter of all runs of all tasks.

    As in rliable, a quarter of n runs is floor(n / 4) of them. Runs are weighted by their share in their task, so where
    tasks have different numbers of runs, a run at the edge of a quarter may be kept in part.

    Args:
        runs: Weighted runs.
    """
    total = float(runs.tasks)
    cut = (runs.drawn // 4 / runs.drawn * total)[:, None]
    # Sorted by score, the runs cover [0, total], each as much as its weight; the part within the cuts is kept.
    upto = np.clip(np.cumsum(runs.weights, axis=1), cut, total - cut)
    kept = np.diff(upto, axis=1, prepend=cut)
    return kept @ runs.values / kept.sum(axis=1)


def mean(runs: WeightedRuns) -> np.ndarray:
    """Return the mean [R] over tasks of each task's mean over its runs.

    Args:
        runs: Weighted runs.
    """
    return runs.weights @ runs.values / runs.tasks


def median(runs: WeightedRuns) -> np.ndarray:
    """Return the median [R] over tasks of each task's mean over its runs.

    Args:
        runs: Weighted runs.
    """
    return np.median((runs.weights * runs.values) @ np.eye(runs.tasks)[runs.task], axis=1)


def optimality_gap(runs: WeightedRuns, target: float = 1.0) -> np.ndarray:
    """Return the mean shortfall [R] from a target score, with scores above it clipped to it. Less is better.

    Args:
        runs: Weighted runs.
        target: Gamma in the paper. For another value: ``functools.partial(optimality_gap, target=0.9)``.
    """
    return target - runs.weights @ np.minimum(runs.values, target) / runs.tasks


AGGREGATES: dict[str, Aggregate] = {"IQM": iqm, "median": median, "mean": mean, "optimality gap": optimality_gap}
"""The aggregates by their names in tables."""


def weigh(scores: Scores, draws: np.ndarray, point: int) -> WeightedRuns | None:
    """Return the runs with a score at a point, weighted by how often each was drawn; None where no run has one.

    A resample may miss every run of a task that has a score at this point. These runs then enter once each: a task is
    part of all resamples or of none, so that all of them estimate the same quantity.

    Args:
        scores: Scores of P runs in all, in the order of their tasks.
        draws: Number of times each run was drawn, [R, P].
        point: Index of the evaluation point.
    """
    pool = np.concatenate([own[:, point] for own in scores.values])
    known = np.flatnonzero(~np.isnan(pool))
    if not known.size:
        return None
    ascending = known[np.argsort(pool[known], kind="stable")]
    present, task = np.unique(np.repeat(np.arange(len(scores.tasks)), scores.seeds)[ascending], return_inverse=True)
    if known.size == pool.size:  # no score is missing, so every resample has N_t runs of each task
        seeds = np.array(scores.seeds)[present]
        weights = draws[:, ascending] * (1.0 / seeds)[task]
        return WeightedRuns(pool[ascending], task, weights, np.full(len(draws), float(pool.size)), present.size)
    member = np.eye(present.size)[task]
    counts = draws[:, ascending].astype(np.float64)
    by_task = counts @ member
    if not by_task.all():
        counts += (by_task == 0.0) @ member.T
        by_task = counts @ member
    return WeightedRuns(pool[ascending], task, counts / by_task[:, task], by_task.sum(axis=1), present.size)


def _validate(tasks: Sequence[str], values: Sequence[np.ndarray]) -> None:
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
    if repeated := {task for task in tasks if list(tasks).count(task) > 1}:
        raise UserError(f"expected distinct tasks, got {min(repeated)!r} twice")
