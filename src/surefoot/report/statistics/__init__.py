"""Aggregates over seeds and tasks with bootstrap intervals (Agarwal et al. 2021, arXiv 2108.13264).

Functions of NumPy arrays from ``Scores`` to ``Estimate``; docs/statistics.md defines them. All tasks have the same
weight, and so have the runs of a task. Where each task has the same number of runs and no score is missing, everything
equals the authors' library, rliable. Missing scores are left out, and an estimate has the numbers of runs and tasks it
was computed from.
"""

from surefoot.report.statistics.aggregates import (
    AGGREGATES,
    Aggregate,
    Scores,
    WeightedRuns,
    iqm,
    mean,
    median,
    optimality_gap,
)
from surefoot.report.statistics.intervals import (
    RESAMPLES,
    Estimate,
    estimate,
    estimate_all,
    estimate_tasks,
    performance_profile,
    probability_of_improvement,
)

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
