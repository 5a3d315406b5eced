"""Statistics with their intervals: curves, per-task tables, performance profiles, probability of improvement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from surefoot.errors import UserError
from surefoot.report.statistics.aggregates import Aggregate, WeightedRuns, iqm, weigh
from surefoot.report.statistics.bootstrap import RESAMPLES, Estimate, bootstrap
from surefoot.report.statistics.scores import Scores


def estimate(
    scores: Scores,
    aggregate: Aggregate,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return an aggregate at every evaluation point, [T]: a sample-efficiency curve.

    A resample draws a run with its whole curve, so the points of a curve move together.

    Args:
        scores: of one algorithm, T points.
        aggregate: one of ``AGGREGATES``, or any function like them.
        generator: of the resamples; equal generators give equal intervals.
        confidence: the probability that the interval is to have, such as 0.95.
        resamples: how many.

    Raises:
        UserError: the confidence is not between 0 and 1, or there are no resamples.
    """
    return estimate_all(scores, {"": aggregate}, generator, confidence, resamples)[""]


def estimate_all(
    scores: Scores,
    aggregates: Mapping[str, Aggregate],
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """Return several aggregates of the same resamples, each as ``estimate`` would, in little more time than one.

    Args:
        scores: of one algorithm, T points.
        aggregates: by name, at least one.
        generator: of the resamples.
        confidence: of each interval.
        resamples: how many.

    Raises:
        UserError: as ``estimate``.
    """
    points = scores.points

    def statistic(draws: Sequence[np.ndarray]) -> np.ndarray:
        results = np.full((len(draws[0]), len(aggregates), points), np.nan)
        for point in range(points):
            runs = weigh(scores, draws[0], point)
            if runs is not None:
                for row, aggregate in enumerate(aggregates.values()):
                    results[:, row, point] = aggregate(runs)
        return results

    counts = scores.counts
    value, low, high = bootstrap(statistic, [scores], generator, confidence, resamples)
    runs, tasks = counts.sum(axis=0), np.sum(counts > 0, axis=0)
    return {name: Estimate(value[i], low[i], high[i], runs, tasks) for i, name in enumerate(aggregates)}


def estimate_tasks(
    scores: Scores,
    generator: np.random.Generator,
    aggregate: Aggregate = iqm,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """Return an aggregate over the runs of each task by itself, one estimate [T] for each task in their order.

    Args:
        scores: of one algorithm, T points.
        generator: of the resamples.
        aggregate: ``iqm`` or ``mean`` are what a table of tasks shows.
        confidence: of each interval.
        resamples: how many.

    Raises:
        UserError: as ``estimate``.
    """
    return {task: estimate(scores.select([task]), aggregate, generator, confidence, resamples) for task in scores.tasks}


def performance_profile(
    scores: Scores,
    thresholds: np.ndarray,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the share of runs that score more than each threshold, [K]: the paper's run-score distribution.

    The interval holds at each threshold by itself.

    Args:
        scores: of one algorithm at one evaluation point, as ``Scores.at`` gives them.
        thresholds: [K] scores.
        generator: of the resamples.
        confidence: of the interval.
        resamples: how many.

    Raises:
        UserError: as ``estimate``; there are several evaluation points.
    """
    if scores.points != 1:
        raise UserError(f"a performance profile is of one evaluation point, got {scores.points}")
    levels = np.asarray(thresholds, np.float64)

    def statistic(draws: Sequence[np.ndarray]) -> np.ndarray:
        runs = weigh(scores, draws[0], 0)
        if runs is None:
            return np.full((len(draws[0]), levels.size), np.nan)
        return runs.weights @ (runs.values[:, None] > levels) / runs.tasks

    counts = scores.counts
    found = bootstrap(statistic, [scores], generator, confidence, resamples)
    return Estimate(*found, np.full(levels.size, counts.sum()), np.full(levels.size, np.sum(counts > 0)))


def probability_of_improvement(
    first: Scores,
    second: Scores,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the probability that a run of the first scores more than one of the second on the same task, [T].

    Averaged over the tasks of which both have a run with a score at that point; ``tasks`` says how many those are, and
    ``runs`` how many runs both have on them together. A tie counts half (Mann and Whitney's U).

    Args:
        first: of one algorithm, T points.
        second: of another one, at the same points.
        generator: of the resamples, which are independent for both.
        confidence: of the interval.
        resamples: how many.

    Raises:
        UserError: as ``estimate``; the numbers of evaluation points differ.
    """
    if first.points != second.points:
        raise UserError(f"expected scores at the same evaluation points, got {first.points} and {second.points}")
    shared = [task for task in first.tasks if task in second.tasks]
    if not shared:
        nothing, none = np.full(first.points, np.nan), np.zeros(first.points, int)
        return Estimate(nothing, nothing, nothing, none, none)
    pair = _where_both([first.select(shared), second.select(shared)])
    counts = np.stack([scores.counts for scores in pair])

    def statistic(draws: Sequence[np.ndarray]) -> np.ndarray:
        results = np.full((len(draws[0]), first.points), np.nan)
        for point in range(first.points):
            one, other = (weigh(scores, own, point) for scores, own in zip(pair, draws, strict=True))
            if one is not None and other is not None:
                results[:, point] = _superiority(one, other)
        return results

    found = bootstrap(statistic, pair, generator, confidence, resamples)
    return Estimate(*found, counts.sum(axis=(0, 1)), np.sum(counts[0] > 0, axis=0))


def _where_both(pair: Sequence[Scores]) -> list[Scores]:
    """Return the scores without those on tasks of which the other one has none at that point."""
    both = np.all([scores.counts > 0 for scores in pair], axis=0)
    return [
        Scores(scores.tasks, [np.where(here, own, np.nan) for here, own in zip(both, scores.values, strict=True)])
        for scores in pair
    ]


def _superiority(first: WeightedRuns, second: WeightedRuns) -> np.ndarray:
    """Return P(X > Y) + P(X = Y) / 2 averaged over the tasks, which are the same in both, [R]."""
    x, y = first.values[:, None], second.values
    wins = ((x > y) + 0.5 * (x == y)) * (first.task[:, None] == second.task)
    return np.sum((first.weights @ wins) * second.weights, axis=1) / first.tasks
