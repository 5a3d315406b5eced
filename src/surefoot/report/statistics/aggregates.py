"""One number for many runs: interquartile mean, mean, median, optimality gap.

Each is a function of ``WeightedRuns``, for R resamples at once. A resample draws runs with replacement, which is to
say that it gives each run a weight; nothing is copied and nothing sorted anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surefoot.report.statistics.scores import Scores


@dataclass(frozen=True, eq=False)
class WeightedRuns:
    """The runs of K tasks that have a score at one evaluation point, P of them, weighted in R resamples.

    Attributes:
        values: [P] their scores, ascending.
        task: [P] the task of each, from 0 to K - 1.
        weights: [R, P] each run's share in its task: 0 where it was not drawn, and 1 in total for every task.
        drawn: [R] how many runs were drawn.
        tasks: K, at least 1.
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

    As in rliable, a quarter of n runs is floor(n / 4) of them. Runs weigh by their share in their task, so where tasks
    have different numbers of them, a run at the quarter's edge may be kept in part.

    Args:
        runs: of which to take it.
    """
    total = float(runs.tasks)
    cut = (runs.drawn // 4 / runs.drawn * total)[:, None]
    # Lined up by score, the runs cover [0, total], each as much as it weighs; what lies within the cuts is kept.
    upto = np.clip(np.cumsum(runs.weights, axis=1), cut, total - cut)
    kept = np.diff(upto, axis=1, prepend=cut)
    return kept @ runs.values / kept.sum(axis=1)


def mean(runs: WeightedRuns) -> np.ndarray:
    """Return the mean [R] over tasks of each task's mean over its runs.

    Args:
        runs: of which to take it.
    """
    return runs.weights @ runs.values / runs.tasks


def median(runs: WeightedRuns) -> np.ndarray:
    """Return the median [R] over tasks of each task's mean over its runs.

    Args:
        runs: of which to take it.
    """
    return np.median((runs.weights * runs.values) @ np.eye(runs.tasks)[runs.task], axis=1)


def optimality_gap(runs: WeightedRuns, target: float = 1.0) -> np.ndarray:
    """Return how far runs fall short of a target score on average [R]; one above it counts as at it. Less is better.

    Args:
        runs: of which to take it.
        target: gamma in the paper. For another one: ``functools.partial(optimality_gap, target=0.9)``.
    """
    return target - runs.weights @ np.minimum(runs.values, target) / runs.tasks


AGGREGATES: dict[str, Aggregate] = {"IQM": iqm, "median": median, "mean": mean, "optimality gap": optimality_gap}
"""The aggregates by the names that tables give them."""


def weigh(scores: Scores, draws: np.ndarray, point: int) -> WeightedRuns | None:
    """Return the runs that have a score at a point, weighted by how often each was drawn; None where no run has one.

    A resample may leave a task without any run that has a score at this point, although there are such. Its runs then
    enter once each: a task drops out of all resamples or of none, and they remain estimates of one thing.

    Args:
        scores: with P runs in all, in the order of their tasks.
        draws: [R, P] how often each of them was drawn.
        point: index of the evaluation point.
    """
    pool = np.concatenate([own[:, point] for own in scores.values])
    known = np.flatnonzero(~np.isnan(pool))
    if not known.size:
        return None
    ascending = known[np.argsort(pool[known], kind="stable")]
    present, task = np.unique(np.repeat(np.arange(len(scores.tasks)), scores.seeds)[ascending], return_inverse=True)
    if known.size == pool.size:  # all are there, so every resample has as many of each task as there are
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
