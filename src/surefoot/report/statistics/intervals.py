"""Percentile intervals by the stratified bootstrap, which resamples runs within every task.

The statistics with such intervals: learning curves, per-task tables, performance profiles, probability of improvement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.errors import UserError
from surefoot.report.statistics.aggregates import Aggregate, Scores, WeightedRuns, iqm, weigh

RESAMPLES = 2000
"""Default number of bootstrap resamples."""

# Weights in memory at once: 4 MB, and a few times as much for the values computed from them.
_CHUNK_VALUES = 500_000


@dataclass(frozen=True, eq=False)
class Estimate:
    """A statistic at T points (evaluation points of a curve, thresholds of a profile), and its interval.

    Attributes:
        value: Statistic of all runs [T]; NaN where no run has a score.
        low: Lower end of the interval [T].
        high: Upper end of the interval [T].
        runs: Number of runs it is computed from, over all tasks [T].
        tasks: Number of tasks it is computed from [T].
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray
    tasks: np.ndarray


def estimate(
    scores: Scores,
    aggregate: Aggregate,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return an aggregate at every evaluation point, [T]: a sample-efficiency curve.

    A resample draws a run with its whole curve, so the points of a curve are correlated as they are in the runs.

    Args:
        scores: Scores of one algorithm at T points.
        aggregate: One of ``AGGREGATES``, or any function of the same signature.
        generator: Generator of the resamples; equal generators give equal intervals.
        confidence: Probability covered by the interval, such as 0.95.
        resamples: Number of resamples.

    Raises:
        UserError: The confidence is not between 0 and 1, or there are no resamples.
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
        scores: Scores of one algorithm at T points.
        aggregates: At least one aggregate, by name.
        generator: Generator of the resamples.
        confidence: Probability covered by each interval.
        resamples: Number of resamples.

    Raises:
        UserError: As for ``estimate``.
    """

    def statistic(draws: Sequence[np.ndarray]) -> np.ndarray:
        results = np.full((len(draws[0]), len(aggregates), scores.points), np.nan)
        for point in range(scores.points):
            runs = weigh(scores, draws[0], point)
            if runs is not None:
                for row, aggregate in enumerate(aggregates.values()):
                    results[:, row, point] = aggregate(runs)
        return results

    counts = scores.counts
    value, low, high = _bootstrap(statistic, [scores], generator, confidence, resamples)
    runs, tasks = counts.sum(axis=0), np.sum(counts > 0, axis=0)
    return {name: Estimate(value[i], low[i], high[i], runs, tasks) for i, name in enumerate(aggregates)}


def estimate_tasks(
    scores: Scores,
    generator: np.random.Generator,
    aggregate: Aggregate = iqm,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """Return an aggregate over the runs of each task separately: one estimate [T] per task, in their order.

    Args:
        scores: Scores of one algorithm at T points.
        generator: Generator of the resamples.
        aggregate: ``iqm`` or ``mean`` are usual in tables of tasks.
        confidence: Probability covered by each interval.
        resamples: Number of resamples.

    Raises:
        UserError: As for ``estimate``.
    """
    return {task: estimate(scores.select([task]), aggregate, generator, confidence, resamples) for task in scores.tasks}


def performance_profile(
    scores: Scores,
    thresholds: np.ndarray,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the fraction of runs that score more than each threshold, [K]: the paper's run-score distribution.

    The interval is pointwise.

    Args:
        scores: Scores of one algorithm at one evaluation point, as returned by ``Scores.at``.
        thresholds: Scores [K].
        generator: Generator of the resamples.
        confidence: Probability covered by the interval.
        resamples: Number of resamples.

    Raises:
        UserError: As for ``estimate``, or there are several evaluation points.
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
    found = _bootstrap(statistic, [scores], generator, confidence, resamples)
    return Estimate(*found, np.full(levels.size, counts.sum()), np.full(levels.size, np.sum(counts > 0)))


def probability_of_improvement(
    first: Scores,
    second: Scores,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the probability that a run of the first scores more than one of the second on the same task, [T].

    It is averaged over the tasks on which both have a score at that point: ``tasks`` is their number, ``runs`` the
    number of runs of both on them. A tie counts half (Mann and Whitney's U).

    Args:
        first: Scores of one algorithm at T points.
        second: Scores of another one, at the same points.
        generator: Generator of the resamples, which are independent for both.
        confidence: Probability covered by the interval.
        resamples: Number of resamples.

    Raises:
        UserError: As for ``estimate``, or the numbers of evaluation points differ.
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

    found = _bootstrap(statistic, pair, generator, confidence, resamples)
    return Estimate(*found, counts.sum(axis=(0, 1)), np.sum(counts[0] > 0, axis=0))


def _where_both(pair: Sequence[Scores]) -> list[Scores]:
    """Return the scores with NaN where the other one has none on that task and point."""
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


def _bootstrap(
    statistic: Callable[[Sequence[np.ndarray]], np.ndarray],
    samples: Sequence[Scores],
    generator: np.random.Generator,
    confidence: float,
    resamples: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a statistic's value and both ends of its interval, [T] each.

    ``statistic`` maps draws, [R, P] for each of the independently drawn samples with its P runs, to [R, T].
    """
    if not 0.0 < confidence < 1.0:
        raise UserError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")
    if resamples < 1:
        raise UserError(f"resamples must be at least 1, got {resamples}")
    value = statistic([np.ones((1, sum(scores.seeds)), np.int32) for scores in samples])[0]
    # All draws come first, task by task, so that they do not depend on the chunks: 2000 resamples of 250 runs are 2 MB.
    draws = [_draw(scores, generator, resamples) for scores in samples]
    step = max(1, _CHUNK_VALUES // max(1, *(own.shape[1] for own in draws)))
    chunks = ([own[start : start + step] for own in draws] for start in range(0, resamples, step))
    results = np.concatenate([statistic(chunk) for chunk in chunks])
    outside = (1.0 - confidence) / 2.0
    low, high = np.quantile(results, [outside, 1.0 - outside], axis=0)
    return value, low, high


def _draw(scores: Scores, generator: np.random.Generator, resamples: int) -> np.ndarray:
    """Return how often each run is drawn when N_t runs of each task are drawn with replacement: [resamples, P]."""
    draws = np.empty((resamples, sum(scores.seeds)), np.int32)
    start = 0
    for seeds in scores.seeds:
        if seeds:
            # Many times faster than multinomial(), with the same distribution: row r's runs are numbered from
            # r * seeds on.
            drawn = generator.integers(seeds, size=(resamples, seeds)) + seeds * np.arange(resamples)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=resamples * seeds)
            draws[:, start : start + seeds] = counts.reshape(resamples, seeds)
        start += seeds
    return draws
