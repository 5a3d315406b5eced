"""Success and diagnostics of runs as curves: weight norms, effective learning rates, dead units, Q bias, curvature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.report.runs import ReportRun, shared_steps
from surefoot.report.tables import count_range

_OF_NETWORKS = ("weight_norm", "effective_learning_rate", "gradient_norm", "dead_units", "feature_norm")
_OF_LAYERS = ("weight_norm", "effective_learning_rate")
# Quantities that differ by orders of magnitude between algorithms.
_LOGARITHMIC = ("weight_norm", "learning_rate", "gradient_norm", "largest_eigenvalue", "condition_number")

QUANTITIES = {
    **{
        f"{network}_{quantity}": f"{network.capitalize()} {quantity.replace('_', ' ')}"
        for network in ("critic", "actor")
        for quantity in _OF_NETWORKS
    },
    "q_bias_mean": "Normalised Q bias, mean",
    "q_bias_std": "Normalised Q bias, deviation",
    "q_bias_mean_per_state": "Q bias per state, mean",
    "q_bias_std_per_state": "Q bias per state, deviation",
    "critic_hessian_largest_eigenvalue": "Largest Hessian eigenvalue",
    "critic_hessian_condition_number": "Hessian condition number",
}
"""Titles by column, in the order of the page. Layers have columns such as ``critic_weight_norm/torso/dense_0``."""

SOLVED_AT_END = "solved_at_end"

_MAX_POINTS = 200

type _Log = dict[str, np.ndarray]


@dataclass(frozen=True)
class DiagnosticLine:
    """Mean over tasks of the mean over seeds, and the extremes of all seeds; all arrays are [T]."""

    label: str
    env_steps: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: str


@dataclass(frozen=True)
class Diagnostic:
    """One quantity of a network or of one of its layers, in one view.

    Attributes:
        column: Column of the quantity.
        title: Title of its panel.
        logarithmic: Whether its axis is logarithmic.
        lines: One line per label that logged it.
    """

    column: str
    title: str
    logarithmic: bool
    lines: list[DiagnosticLine]


def success(tasks: Sequence[str], groups: Mapping[str, list[ReportRun]]) -> list[Diagnostic]:
    """Return the share of episodes solved at their last step; nothing where no run's environment reports it."""
    logs = {
        label: [
            (run, _evaluation_log(run)) for run in runs if run.task in tasks and not np.isnan(run.solved_at_end).all()
        ]
        for label, runs in groups.items()
    }
    lines = [line for label, own in logs.items() if (line := _line(label, own, SOLVED_AT_END)) is not None]
    return [Diagnostic(SOLVED_AT_END, "Share of episodes solved at the end", False, lines)] if lines else []


def network_diagnostics(tasks: Sequence[str], groups: Mapping[str, list[ReportRun]]) -> list[Diagnostic]:
    """Return the quantities that runs on some tasks logged, by label."""
    return list(_diagnostics(tasks, groups, QUANTITIES))


def layer_diagnostics(tasks: Sequence[str], groups: Mapping[str, list[ReportRun]]) -> list[Diagnostic]:
    """Return weight norms and effective learning rates layer by layer; none for several tasks."""
    if len(tasks) > 1:
        return []
    columns = dict.fromkeys(
        column for runs in groups.values() for run in runs if run.task in tasks for column in run.diagnostics
    )
    titles = {
        column: f"{QUANTITIES[quantity]}, {layer}"
        for quantity in (f"{network}_{name}" for network in ("critic", "actor") for name in _OF_LAYERS)
        for column in columns
        if (layer := column.removeprefix(f"{quantity}/")) != column
    }
    return list(_diagnostics(tasks, groups, titles))


def _diagnostics(
    tasks: Sequence[str], groups: Mapping[str, list[ReportRun]], titles: Mapping[str, str]
) -> Iterator[Diagnostic]:
    logs = {label: [(run, run.diagnostics) for run in runs if run.task in tasks] for label, runs in groups.items()}
    for column, title in titles.items():
        lines = [line for label, own in logs.items() if (line := _line(label, own, column)) is not None]
        if lines:
            positive = all((line.low > 0.0).all() for line in lines)
            yield Diagnostic(column, title, positive and column.partition("/")[0].endswith(_LOGARITHMIC), lines)


def _line(label: str, logs: Sequence[tuple[ReportRun, _Log]], column: str) -> DiagnosticLine | None:
    """Return one label's curve where all tasks that logged the column have values, None without any."""
    measured = [(run, log, own) for run, log in logs if (own := _by_seed(run.seeds, log, column))]
    if not measured:
        return None
    by_task: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for run, _, own in measured:
        by_task.setdefault(run.task, []).extend(own)
    steps = shared_steps([np.unique(log["env_steps"]) for _, log, _ in measured])
    every = -(-len(steps) // _MAX_POINTS)
    steps = steps[(len(steps) - 1) % every :: every]  # includes the last one
    tables = [_table(steps, series) for series in by_task.values()]
    whole = np.all([~np.isnan(table).all(axis=0) for table in tables], axis=0)
    if not whole.any():
        return None
    tables = [table[:, whole] for table in tables]
    pool = np.concatenate(tables)
    value = np.mean([np.nanmean(table, axis=0) for table in tables], axis=0)
    seeds = count_range([len(table) for table in tables])
    return DiagnosticLine(label, steps[whole], value, np.nanmin(pool, axis=0), np.nanmax(pool, axis=0), seeds)


def _evaluation_log(run: ReportRun) -> _Log:
    """Return the shares of solved episodes as columns, one row per seed and evaluation."""
    shape = run.solved_at_end.shape
    return {
        "seed": np.repeat(run.seeds, shape[1]),
        "env_steps": np.tile(run.env_steps, shape[0]),
        SOLVED_AT_END: run.solved_at_end.reshape(-1),
    }


def _by_seed(seeds: Sequence[int], log: _Log, column: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return env steps and finite values of each seed that logged a column."""
    if column not in log:
        return []
    finite = np.isfinite(log[column])
    chosen = [finite & (log["seed"] == seed) for seed in seeds]
    return [(log["env_steps"][rows], log[column][rows]) for rows in chosen if rows.any()]


def _table(steps: np.ndarray, series: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the values at some steps, [seeds, steps], NaN where a seed has none."""
    table = np.full((len(series), len(steps)), np.nan)
    for row, (own, values) in zip(table, series, strict=True):
        at = np.minimum(np.searchsorted(steps, own), len(steps) - 1)
        here = steps[at] == own
        row[at[here]] = values[here]
    return table
