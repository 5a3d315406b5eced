"""Scores shared by the tests of statistics."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surefoot.report.statistics import Aggregate, Scores, estimate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from rliable import library, metrics

__all__ = ["REFERENCE", "SCORES", "by_task", "generator", "library", "metrics", "scores_of", "value"]

REFERENCE = {
    "IQM": metrics.aggregate_iqm,
    "median": metrics.aggregate_median,
    "mean": metrics.aggregate_mean,
    "optimality gap": metrics.aggregate_optimality_gap,
}
"""rliable's aggregates by our names."""


def generator(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def scores_of(*values: Sequence[float] | Sequence[Sequence[float]] | np.ndarray) -> Scores:
    """Return scores on tasks a, b, ..., each given as runs at one point or as [N, T]."""
    own = [np.asarray(one, np.float64) for one in values]
    return Scores(
        [chr(ord("a") + number) for number in range(len(own))], [one[:, None] if one.ndim == 1 else one for one in own]
    )


def by_task(scores: np.ndarray) -> Scores:
    """Return scores from rliable's layout [N, tasks] or [N, tasks, T]."""
    return scores_of(*np.moveaxis(scores, 1, 0))


def value(scores: Scores, aggregate: Aggregate) -> np.ndarray:
    """Return the value of an aggregate without its interval, [T]."""
    return estimate(scores, aggregate, generator(), resamples=1).value


SCORES = st.lists(
    arrays(np.float64, st.tuples(st.integers(1, 6), st.just(2)), elements=st.floats(-10, 10, width=32)),
    min_size=1,
    max_size=4,
).map(lambda values: scores_of(*values))
"""One to four tasks of one to six runs each, at two points."""
