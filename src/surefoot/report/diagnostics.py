"""What a run measured beside returns, as curves: weight norms, effective learning rates, dead units, Q bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.report.runs import ReportRun
from surefoot.report.views import file_name, seeds_text

QUANTITIES = {
    "critic_weight_norm": "Critic weight norm",
    "critic_effective_learning_rate": "Critic effective learning rate",
    "critic_gradient_norm": "Critic gradient norm",
    "critic_dead_units": "Critic dead units",
    "critic_feature_norm": "Critic feature norm",
    "actor_weight_norm": "Actor weight norm",
    "actor_effective_learning_rate": "Actor effective learning rate",
    "actor_gradient_norm": "Actor gradient norm",
    "actor_dead_units": "Actor dead units",
    "actor_feature_norm": "Actor feature norm",
    "q_bias_mean": "Normalised Q bias, mean",
    "q_bias_std": "Normalised Q bias, standard deviation",
    "q_bias_mean_per_state": "Q bias by state, mean",
    "q_bias_std_per_state": "Q bias by state, standard deviation",
    "critic_hessian_largest_eigenvalue": "Critic loss, largest Hessian eigenvalue",
    "critic_hessian_condition_number": "Critic loss, condition number (estimate)",
}
"""Column -> title, in the order of the page."""

LOGARITHMIC = frozenset({"critic_weight_norm", "critic_effective_learning_rate", "critic_gradient_norm"})
"""Quantities that differ by orders of magnitude between algorithms."""

_MOST_POINTS = 200


@dataclass(frozen=True)
class DiagnosticLine:
    """Mean over seeds, between the lowest and the highest one; all arrays are [T]."""

    label: str
    env_steps: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: str


@dataclass(frozen=True)
class DiagnosticView:
    """One quantity on one task.

    Attributes:
        name: of its files.
        task: the task.
        column: the quantity's column.
        title: the quantity, for a person.
        lines: one for each label that measured it.
    """

    name: str
    task: str
    column: str
    title: str
    lines: list[DiagnosticLine]


def make_diagnostic_views(groups: Mapping[str, list[ReportRun]]) -> list[DiagnosticView]:
    """Return a view of each quantity of each task that some run measured."""
    views = []
    for task in sorted({run.task for runs in groups.values() for run in runs}):
        for column, title in QUANTITIES.items():
            drawn = [_line(label, [run for run in runs if run.task == task], column) for label, runs in groups.items()]
            if lines := [line for line in drawn if line is not None]:
                views.append(DiagnosticView(file_name(f"{task}-{column}"), task, column, title, lines))
    return views


def _line(label: str, runs: Sequence[ReportRun], column: str) -> DiagnosticLine | None:
    """Return one label's curve, None where nothing of it was measured."""
    series = []
    for run in runs:
        log = run.diagnostics
        if column not in log or np.isnan(log[column]).all():
            continue
        for seed in run.seeds:
            own = (log["seed"] == seed) & ~np.isnan(log[column])
            if not own.any():
                continue
            series.append((log["env_steps"][own], log[column][own]))
    if not series:
        return None
    steps = np.unique(np.concatenate([own for own, _ in series]))
    steps = steps[:: -(-len(steps) // _MOST_POINTS)]
    table = np.full((len(series), len(steps)), np.nan)
    for row, (own, values) in zip(table, series, strict=True):
        at = np.minimum(np.searchsorted(steps, own), len(steps) - 1)
        here = steps[at] == own
        row[at[here]] = values[here]
    known = ~np.isnan(table)
    steps, table, known = steps[known.any(axis=0)], table[:, known.any(axis=0)], known[:, known.any(axis=0)]
    mean = np.where(known, table, 0.0).sum(axis=0) / known.sum(axis=0)
    low, high = np.where(known, table, np.inf).min(axis=0), np.where(known, table, -np.inf).max(axis=0)
    return DiagnosticLine(label, steps, mean, low, high, seeds_text([len(series)]))
