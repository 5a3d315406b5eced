"""What a run measured beside returns, as curves: weight norms, effective learning rates, dead units, Q bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.report.runs import ReportRun, shared_steps
from surefoot.report.views import View
from surefoot.report.wording import seeds_text

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
    "q_bias_std": "Normalised Q bias, deviation",
    "q_bias_mean_per_state": "Q bias per state, mean",
    "q_bias_std_per_state": "Q bias per state, deviation",
    "critic_hessian_largest_eigenvalue": "Largest Hessian eigenvalue",
    "critic_hessian_condition_number": "Hessian condition number",
}
"""Column -> title, in the order of the page."""

LOGARITHMIC = frozenset(
    {
        "critic_weight_norm",
        "critic_effective_learning_rate",
        "critic_gradient_norm",
        "actor_weight_norm",
        "actor_effective_learning_rate",
        "actor_gradient_norm",
        "critic_hessian_largest_eigenvalue",
        "critic_hessian_condition_number",
    }
)
"""Quantities that differ by orders of magnitude between algorithms."""

_BY_LAYER = {
    f"{network}_{quantity}": f"{network.capitalize()} {title}"
    for network in ("critic", "actor")
    for quantity, title in (("weight_norm", "weight norm"), ("effective_learning_rate", "effective learning rate"))
}
"""What is drawn for each layer; columns are called ``critic_weight_norm/torso/dense_0``."""

_MOST_POINTS = 200


@dataclass(frozen=True)
class DiagnosticLine:
    """Mean over tasks of the mean over seeds, between the lowest and the highest seed of all; all arrays are [T]."""

    label: str
    env_steps: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: str


@dataclass(frozen=True)
class Diagnostic:
    """One quantity in one view, of a network or of one of its layers.

    Attributes:
        column: the quantity's column.
        title: the quantity, for a person.
        logarithmic: whether its axis is.
        lines: one for each label that measured it.
    """

    column: str
    title: str
    logarithmic: bool
    lines: list[DiagnosticLine]


def make_diagnostics(views: Sequence[View], groups: Mapping[str, list[ReportRun]]) -> dict[str, list[Diagnostic]]:
    """Return the quantities that runs of a view measured, by the view's name; views without any are left out."""
    series = {label: [_Series(run) for run in runs if run.diagnostics] for label, runs in groups.items()}
    found: dict[str, list[Diagnostic]] = {}
    for view in views:
        shown = {line.label for line in view.lines}
        own = {label: runs for label, runs in series.items() if label in shown}
        for column, title in QUANTITIES.items():
            if diagnostic := _diagnostic(own, view.tasks, column, title):
                found.setdefault(view.name, []).append(diagnostic)
    return found


def make_layers(views: Sequence[View], groups: Mapping[str, list[ReportRun]]) -> dict[str, list[Diagnostic]]:
    """Return weight norms and effective learning rates layer by layer, by the names of views of single tasks."""
    found: dict[str, list[Diagnostic]] = {}
    for view in views:
        if len(view.tasks) > 1:
            continue
        shown = {line.label for line in view.lines}
        own = {
            label: [_Series(run) for run in runs if run.diagnostics and run.task in view.tasks]
            for label, runs in groups.items()
            if label in shown
        }
        columns = dict.fromkeys(column for runs in own.values() for run in runs for column in run.columns)
        for quantity, title in _BY_LAYER.items():
            for column in columns:
                layer = column.removeprefix(f"{quantity}/")
                if layer != column and (diagnostic := _diagnostic(own, view.tasks, column, f"{title}, {layer}")):
                    found.setdefault(view.name, []).append(diagnostic)
    return found


def _diagnostic(
    series: Mapping[str, list[_Series]], tasks: Sequence[str], column: str, title: str
) -> Diagnostic | None:
    """Return one quantity, None where nobody measured it."""
    lines = [line for label, own in series.items() if (line := _line(label, own, tasks, column)) is not None]
    if not lines:
        return None
    positive = all((line.low > 0.0).all() for line in lines)
    return Diagnostic(column, title, positive and column.partition("/")[0] in LOGARITHMIC, lines)


class _Series:
    """The diagnostics of one run, by seed."""

    def __init__(self, run: ReportRun) -> None:
        self.task = run.task
        self._log = run.diagnostics
        self._rows = [np.flatnonzero(self._log["seed"] == seed) for seed in run.seeds]

    @property
    def columns(self) -> list[str]:
        """What was measured, in the order of the file."""
        return list(self._log)

    @property
    def env_steps(self) -> np.ndarray:
        """At which it was measured."""
        return np.unique(self._log["env_steps"])

    def of(self, column: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return env steps and values of each seed that measured a quantity."""
        if column not in self._log:
            return []
        values = self._log[column]
        known = [rows[np.isfinite(values[rows])] for rows in self._rows]
        return [(self._log["env_steps"][rows], values[rows]) for rows in known if len(rows)]


def _line(label: str, runs: Sequence[_Series], tasks: Sequence[str], column: str) -> DiagnosticLine | None:
    """Return one label's curve where all its tasks have values, None where nothing of it was measured."""
    measured = [(run, own) for run in runs if run.task in tasks and (own := run.of(column))]
    if not measured:
        return None
    by_task = {task: [pair for run, own in measured if run.task == task for pair in own] for task in tasks}
    by_task = {task: series for task, series in by_task.items() if series}
    steps = shared_steps([run.env_steps for run, _ in measured])
    every = -(-len(steps) // _MOST_POINTS)
    steps = steps[(len(steps) - 1) % every :: every]  # the last one stays
    tables = [_table(steps, series) for series in by_task.values()]
    whole = np.all([~np.isnan(table).all(axis=0) for table in tables], axis=0)
    if not whole.any():
        return None
    tables = [table[:, whole] for table in tables]
    together = np.concatenate(tables)
    return DiagnosticLine(
        label,
        steps[whole],
        np.mean([np.nanmean(table, axis=0) for table in tables], axis=0),
        np.nanmin(together, axis=0),
        np.nanmax(together, axis=0),
        seeds_text([len(table) for table in tables]),
    )


def _table(steps: np.ndarray, series: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the values at some steps, [seeds, steps], NaN where a seed has none."""
    table = np.full((len(series), len(steps)), np.nan)
    for row, (own, values) in zip(table, series, strict=True):
        at = np.minimum(np.searchsorted(steps, own), len(steps) - 1)
        here = steps[at] == own
        row[at[here]] = values[here]
    return table
