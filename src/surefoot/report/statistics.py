"""Aggregates over seeds and tasks, and how sure one may be of them (Agarwal et al. 2021, arXiv 2108.13264).

Scores come as one array [N_t, T] per task t: N_t seeds, T evaluation points; NaN marks a value that is missing. A
missing value is left out where it stands, and ``Estimate.runs`` says how many entered, so nothing disappears unseen.
Where every task has as many seeds, all is as in the authors' library, rliable. Where it has not, the interquartile mean
and the optimality gap weigh every run alike, mean and median every task alike.

Intervals are percentile intervals of the stratified bootstrap: seeds are drawn anew within every task, tasks stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.errors import UserError

RESAMPLES = 2000
"""Bootstrap resamples unless told otherwise."""

_CHUNK_VALUES = 4_000_000
"""Resampled scores that are in memory at once, 32 MB of them."""

type ByTask = Sequence[np.ndarray]
"""One array [..., N_t, T] of scores for each task."""


@dataclass(frozen=True)
class Estimate:
    """A statistic at T points.

    Attributes:
        value: [T], NaN where no run has a score.
        low: [T] lower end of the interval.
        high: [T] upper end of the interval.
        runs: [T] scores that entered, over all tasks.
        tasks: [T] tasks that had one.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray
    tasks: np.ndarray


# ---------------------------------------------------------------- aggregates: [..., N_t, T] of each task -> [..., T]


def iqm(scores: ByTask) -> np.ndarray:
    """Return the interquartile mean: of all runs of all tasks, the mean without the lowest and highest quarter.

    A quarter is rounded down to whole runs, as rliable does.
    """
    pool = np.sort(np.concatenate(scores, axis=-2), axis=-2)  # NaN comes last
    known = np.sum(~np.isnan(pool), axis=-2, keepdims=True)
    cut = known // 4
    rank = np.arange(pool.shape[-2])[:, None]
    kept = (rank >= cut) & (rank < known - cut)
    return _ratio(np.sum(np.where(kept, pool, 0.0), axis=-2), np.sum(kept, axis=-2))


def mean(scores: ByTask) -> np.ndarray:
    """Return the mean over tasks of each task's mean over runs."""
    return _nan_mean(_task_means(scores))


def median(scores: ByTask) -> np.ndarray:
    """Return the median over tasks of each task's mean over runs."""
    means = np.sort(_task_means(scores), axis=-2)  # NaN comes last
    known = np.sum(~np.isnan(means), axis=-2, keepdims=True)
    low, high = (np.take_along_axis(means, np.maximum(known + offset, 0) // 2, axis=-2) for offset in (-1, 0))
    high = np.where(known % 2 == 1, low, high)
    return np.where(known > 0, (low + high) / 2, np.nan)[..., 0, :]


def optimality_gap(scores: ByTask, target: float = 1.0) -> np.ndarray:
    """Return by how much runs fall short of a target score on average; a run above it counts as at it."""
    return target - _nan_mean(np.minimum(np.concatenate(scores, axis=-2), target))


AGGREGATES: dict[str, Callable[[ByTask], np.ndarray]] = {
    "IQM": iqm,
    "median": median,
    "mean": mean,
    "optimality gap": optimality_gap,
}
"""Aggregates by the name that tables give them."""


# ---------------------------------------------------------------- intervals


def estimate(
    scores: ByTask,
    aggregate: Callable[[ByTask], np.ndarray],
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return an aggregate and its interval at every evaluation point: a sample-efficiency curve.

    One resample draws each seed with its whole curve, so that the points of a curve move together.

    Args:
        scores: [N_t, T] per task.
        aggregate: one of ``AGGREGATES``, or any function like them.
        generator: of the resamples.
        confidence: probability that the interval is to have, such as 0.95.
        resamples: how many.

    Raises:
        UserError: there are no scores, shapes differ, or the confidence is not between 0 and 1.
    """
    checked = _checked(scores)
    draws = np.concatenate([aggregate(resample) for resample in _resamples(checked, generator, resamples)])
    low, high = _interval(draws, confidence)
    return Estimate(aggregate(checked), low, high, *_counts(checked))


def performance_profile(
    scores: ByTask,
    thresholds: np.ndarray,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the share of all runs that score more than each threshold, [thresholds].

    Args:
        scores: [N_t] or [N_t, 1] per task, at one evaluation point.
        thresholds: [K] scores.
        generator: of the resamples.
        confidence: of the interval.
        resamples: how many.

    Raises:
        UserError: as ``estimate``; scores of several evaluation points.
    """
    checked = _one_point(scores)

    def share(own: ByTask) -> np.ndarray:
        pool = np.concatenate(own, axis=-2)
        return _ratio(np.sum(pool > thresholds, axis=-2), np.sum(~np.isnan(pool), axis=-2))

    draws = np.concatenate([share(resample) for resample in _resamples(checked, generator, resamples)])
    low, high = _interval(draws, confidence)
    runs, tasks = (np.broadcast_to(count, thresholds.shape) for count in _counts(checked))
    return Estimate(share(checked), low, high, runs, tasks)


def probability_of_improvement(
    first: ByTask,
    second: ByTask,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the probability [1] that a run of the first scores more than one of the second, averaged over tasks.

    Ties count half (Mann-Whitney's U). ``runs`` counts those of both.

    Args:
        first: [N_t] or [N_t, 1] per task, at one evaluation point.
        second: of the same tasks in the same order.
        generator: of the resamples, drawn independently for both.
        confidence: of the interval.
        resamples: how many.

    Raises:
        UserError: as ``performance_profile``; the two have different numbers of tasks.
    """
    one, other = _one_point(first), _one_point(second)
    if len(one) != len(other):
        raise UserError(f"probability of improvement compares equal tasks, got {len(one)} and {len(other)}")
    pairs = zip(_resamples(one, generator, resamples), _resamples(other, generator, resamples), strict=True)
    draws = np.concatenate([_superiority(*pair) for pair in pairs])
    low, high = _interval(draws, confidence)
    counts, others = _counts(one), _counts(other)
    value = _superiority(one, other)
    return Estimate(value, low, high, counts[0] + others[0], np.minimum(counts[1], others[1]))


def _superiority(first: ByTask, second: ByTask) -> np.ndarray:
    """Return P(X > Y) + P(X = Y) / 2 averaged over tasks, [..., 1]."""
    by_task = []
    for x, y in zip(first, second, strict=True):
        left, right = x[..., :, None, 0], y[..., None, :, 0]
        known = ~(np.isnan(left) | np.isnan(right))
        wins = np.where(known, (left > right) + 0.5 * (left == right), 0.0)
        by_task.append(_ratio(wins.sum(axis=(-2, -1)), known.sum(axis=(-2, -1))))
    return _nan_mean(np.stack(by_task, axis=-1)[..., None])


# ---------------------------------------------------------------- resampling


def _resamples(scores: ByTask, generator: np.random.Generator, count: int) -> Iterator[list[np.ndarray]]:
    """Yield chunks of resamples, each a list of [R, N_t, T]; which seeds are drawn does not depend on the chunks."""
    if count < 1:
        raise UserError(f"resamples must be at least 1, got {count}")
    # All indices first, since each task's come from one call: 2000 resamples of 250 runs are 4 MB.
    drawn = [generator.integers(len(own), size=(count, len(own)), dtype=np.int32) for own in scores]
    values = sum(own.size for own in scores)
    step = max(1, _CHUNK_VALUES // max(1, values))
    for start in range(0, count, step):
        yield [own[indices[start : start + step]] for own, indices in zip(scores, drawn, strict=True)]


def _interval(draws: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends [T] of the percentile interval of draws [R, T]; draws without any score are left out."""
    if not 0.0 < confidence < 1.0:
        raise UserError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")
    outside = 50.0 * (1.0 - confidence)
    ends = np.full((2, draws.shape[1]), np.nan)
    known = ~np.isnan(draws).all(axis=0)
    if known.any():
        ends[:, known] = np.nanpercentile(draws[:, known], [outside, 100.0 - outside], axis=0)
    return ends[0], ends[1]


def _counts(scores: ByTask) -> tuple[np.ndarray, np.ndarray]:
    """Return how many runs and how many tasks have a score at each point, both [T]."""
    known = np.stack([np.sum(~np.isnan(own), axis=0) for own in scores])
    return known.sum(axis=0), np.sum(known > 0, axis=0)


def _checked(scores: ByTask) -> list[np.ndarray]:
    arrays = [np.asarray(own, np.float64) for own in scores]
    if not arrays or any(own.ndim != 2 or not len(own) for own in arrays):
        raise UserError("statistics need scores [seeds, points] of at least one task and one seed in each")
    if len({own.shape[1] for own in arrays}) > 1:
        raise UserError(
            f"every task needs as many evaluation points, got {', '.join(str(own.shape[1]) for own in arrays)}"
        )
    return arrays


def _one_point(scores: ByTask) -> list[np.ndarray]:
    columns = [np.asarray(own, np.float64) for own in scores]
    arrays = _checked([own[:, None] if own.ndim == 1 else own for own in columns])
    if arrays[0].shape[1] != 1:
        raise UserError(f"expected scores at one evaluation point, got {arrays[0].shape[1]}")
    return arrays


# ---------------------------------------------------------------- arithmetic that knows of missing values


def _task_means(scores: ByTask) -> np.ndarray:
    """Return [..., tasks, T]."""
    return np.stack([_nan_mean(own) for own in scores], axis=-2)


def _nan_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the axis before the last, NaN where nothing is known."""
    known = ~np.isnan(values)
    return _ratio(np.sum(np.where(known, values, 0.0), axis=-2), np.sum(known, axis=-2))


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
