"""Percentile intervals by the stratified bootstrap: runs are drawn anew within every task, tasks stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.errors import UserError
from surefoot.report.statistics.scores import Scores

RESAMPLES = 2000
"""Bootstrap resamples unless told otherwise."""

_CHUNK_VALUES = 500_000
"""Weights that are in memory at once, 4 MB of them, and a few times as much for what is computed from them."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A statistic at T points (evaluation points of a curve, thresholds of a profile), and its interval.

    Attributes:
        value: [T], of all runs. NaN where no run has a score.
        low: [T] lower end of the interval.
        high: [T] upper end of the interval.
        runs: [T] int, how many runs entered, over all tasks.
        tasks: [T] int, how many tasks entered.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray
    tasks: np.ndarray


def bootstrap(
    statistic: Callable[[Sequence[np.ndarray]], np.ndarray],
    samples: Sequence[Scores],
    generator: np.random.Generator,
    confidence: float,
    resamples: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a statistic's value and both ends of its interval, [T] each.

    Args:
        statistic: from draws, [R, P] for each sample with its P runs, to [R, T].
        samples: drawn independently of one another.
        generator: of the draws.
        confidence: the probability that the interval is to have, such as 0.95.
        resamples: how many.

    Raises:
        UserError: the confidence is not between 0 and 1, or there are no resamples.
    """
    if not 0.0 < confidence < 1.0:
        raise UserError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")
    if resamples < 1:
        raise UserError(f"resamples must be at least 1, got {resamples}")
    value = statistic([np.ones((1, sum(scores.seeds)), np.int32) for scores in samples])[0]
    # All draws first, task by task, so that they do not depend on the chunks: 2000 resamples of 250 runs are 2 MB.
    draws = [_draw(scores, generator, resamples) for scores in samples]
    step = max(1, _CHUNK_VALUES // max(1, *(own.shape[1] for own in draws)))
    chunks = ([own[start : start + step] for own in draws] for start in range(0, resamples, step))
    results = np.concatenate([statistic(chunk) for chunk in chunks])
    outside = (1.0 - confidence) / 2.0
    low, high = np.quantile(results, [outside, 1.0 - outside], axis=0)
    return value, low, high


def _draw(scores: Scores, generator: np.random.Generator, resamples: int) -> np.ndarray:
    """Return how often each run is drawn when each task draws as many as it has, with replacement: [resamples, P]."""
    draws = np.empty((resamples, sum(scores.seeds)), np.int32)
    start = 0
    for seeds in scores.seeds:
        if seeds:
            # Many times faster than multinomial(), which draws the same: row r's runs are numbered from r * seeds on.
            drawn = generator.integers(seeds, size=(resamples, seeds)) + seeds * np.arange(resamples)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=resamples * seeds)
            draws[:, start : start + seeds] = counts.reshape(resamples, seeds)
        start += seeds
    return draws
