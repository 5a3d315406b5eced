"""Aggregates over seeds and tasks, and how sure one may be of them (Agarwal et al. 2021, arXiv 2108.13264).

Functions of NumPy arrays: ``Scores`` go in, ``Estimate`` comes out. docs/statistics.md has every definition.

Every task weighs alike, and so do the runs within a task. Where each task has as many runs and none lacks a score,
everything equals the authors' own library, rliable. A score that is missing is left out where it stands, and the
estimate says how many runs and tasks entered, so nothing disappears unseen.
"""

from surefoot.report.statistics.aggregates import (
    AGGREGATES,
    Aggregate,
    WeightedRuns,
    iqm,
    mean,
    median,
    optimality_gap,
)
from surefoot.report.statistics.bootstrap import RESAMPLES, Estimate
from surefoot.report.statistics.estimates import (
    estimate,
    estimate_all,
    estimate_tasks,
    performance_profile,
    probability_of_improvement,
)
from surefoot.report.statistics.scores import Scores

__all__ = [
    "AGGREGATES",
    "RESAMPLES",
    "Aggregate",
    "Estimate",
    "Scores",
    "WeightedRuns",
    "estimate",
    "estimate_all",
    "estimate_tasks",
    "iqm",
    "mean",
    "median",
    "optimality_gap",
    "performance_profile",
    "probability_of_improvement",
]
