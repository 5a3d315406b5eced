"""Statistics of every figure and table: one view per suite and per task."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from surefoot.errors import UserError
from surefoot.report.diagnostics import layer_diagnostics, network_diagnostics, success
from surefoot.report.labels import name_curves, settings_table
from surefoot.report.notes import left_out, remarks, unequal_seeds
from surefoot.report.published import published_curves
from surefoot.report.runs import SCORED_SUITES, ReportRun, shared_steps
from surefoot.report.statistics import (
    AGGREGATES,
    Aggregate,
    Estimate,
    Scores,
    estimate_all,
    iqm,
    mean,
    performance_profile,
    probability_of_improvement,
)
from surefoot.report.tables import Number, Row, count_range, duration, joined
from surefoot.report.view import Final, Line, Profile, View

if TYPE_CHECKING:
    from surefoot.report.report import Settings

_SUITE_TITLES = {"dmc": "DM Control", "myosuite": "MyoSuite"}
CURVES = {"IQM": iqm, "mean": mean}
"""Aggregates shown as learning curves, by name."""

THRESHOLDS = np.linspace(0.0, 1.0, 51)
"""Scores at which performance profiles are computed."""


def make_views(groups: Mapping[str, list[ReportRun]], settings: Settings) -> list[View]:
    """Return a view of each scored suite that has more than one task, then of each task.

    Raises:
        UserError: No run has been evaluated yet.
    """
    runs = [run for own in groups.values() for run in own]
    if not any(len(run.env_steps) for run in runs):
        raise UserError(f"{runs[0].path} has no evaluation yet, and there is no other run: nothing to report")
    suites = {suite: _common_tasks(suite, groups) for suite in SCORED_SUITES}
    suites = {suite: common for suite, common in suites.items() if len(common[0]) > 1}
    tasks = sorted({run.task for run in runs})
    names = file_names(tasks, [f"suite-{suite}" for suite in suites])
    by_task = {task: _view(View(names[task], task, (task,), []), groups, settings) for task in tasks}
    views = []
    for suite, (common, compared) in suites.items():
        title = f"{_SUITE_TITLES[suite]}, {len(common)} tasks"
        empty = View(f"suite-{suite}", title, common, [by_task[task] for task in common])
        views.append(_view(empty, compared, settings))
        views[-1].notes.extend(left_out(suite, title, common, compared, groups))
    return views + list(by_task.values())


def file_names(texts: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return a portable file name for each text, all distinct in a file system that ignores case."""
    names: dict[str, str] = {}
    used = {name.lower() for name in taken}
    for text in texts:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:100].lstrip(".") or "unnamed"
        candidates = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        names[text] = next(name for name in candidates if name.lower() not in used)
        used.add(names[text].lower())
    return names


def improvement_matrix(rows: Sequence[Row]) -> tuple[list[str], np.ndarray]:
    """Return L labels, and P(row > column) with its interval as [L, L, 3]; NaN on the diagonal."""
    labels = list(dict.fromkeys(row[side] for side in ("algorithm", "compared with") for row in rows))
    table = np.full((len(labels), len(labels), 3), np.nan)
    for row in rows:
        i, j = labels.index(row["algorithm"]), labels.index(row["compared with"])
        number = row["probability of improvement"]
        table[i, j] = number.value, number.low, number.high
        table[j, i] = 1.0 - table[i, j, [0, 2, 1]]
    return labels, np.clip(table, 0.0, 1.0)


def _common_tasks(
    suite: str, groups: Mapping[str, list[ReportRun]]
) -> tuple[tuple[str, ...], dict[str, list[ReportRun]]]:
    """Return the tasks with the most runs of labels that have all of them, and those labels' runs.

    The tasks are those of one label, or those that all labels with more than one have. An aggregate over other tasks is
    another quantity, so curves of different tasks are never drawn together.
    """
    counts = {
        label: Counter(run.task for run in runs if run.suite == suite and len(run.env_steps) for _ in run.seeds)
        for label, runs in groups.items()
    }
    several = [frozenset(own) for own in counts.values() if len(own) > 1]
    chosen = max(
        (tasks for tasks in [*several, frozenset.intersection(*several)] if len(tasks) > 1) if several else (),
        key=lambda tasks: sum(own[task] for own in counts.values() if tasks <= own.keys() for task in tasks),
        default=frozenset[str](),
    )
    compared = {label: runs for label, runs in groups.items() if chosen <= counts[label].keys()}
    return tuple(sorted(chosen)), compared


def _view(view: View, groups: Mapping[str, list[ReportRun]], settings: Settings) -> View:
    """Fill an empty view."""
    own = {label: [run for run in runs if run.task in view.tasks] for label, runs in groups.items()}
    evaluated = {label: [run for run in runs if len(run.env_steps)] for label, runs in own.items()}
    evaluated = {label: runs for label, runs in evaluated.items() if runs}
    first = {label: runs[0] for label, runs in evaluated.items()}
    view.names.update(zip(first, name_curves(list(first.values())), strict=True))
    view.settings.extend(settings_table({view.names[label].label: run for label, run in first.items()}))
    grids = {label: _grid(runs) for label, runs in evaluated.items()}
    for label, runs in evaluated.items():
        _add_label(view, label, runs, *grids[label], settings)
    view.notes.extend(remarks(own))
    if len({row["env steps"] for row in view.table}) > 1:
        view.notes.append(f"{view.title}: the algorithms of the table stand at different env steps")
    if view.parts:
        _compare(view, evaluated, grids, settings)
    else:
        view.published.extend(published_curves(set(view.tasks)))
    shown = {label: own[label] for label in evaluated}
    if solved := success(view.tasks, shown):
        _add_success(view, shown)
    view.diagnostics.extend(solved + network_diagnostics(view.tasks, shown))
    view.layers.extend(layer_diagnostics(view.tasks, shown))
    return view


def _add_success(view: View, groups: Mapping[str, list[ReportRun]]) -> None:
    """Add the share of episodes solved at their last step, at the env step where each row stands, to the table."""
    for index, (label, row) in enumerate(zip(view.names, view.table, strict=True)):
        items = list(row.items())
        at = 1 + list(row).index("mean")
        share = ("solved at the end", Number(_solved_at_end(groups[label], row["env steps"])))
        view.table[index] = dict([*items[:at], share, *items[at:]])


def _solved_at_end(runs: Sequence[ReportRun], env_step: int) -> float:
    """Return the mean over tasks of the mean over seeds; NaN unless every task that reports success has a value."""
    by_task: dict[str, list[np.ndarray]] = {}
    for run in runs:
        if not np.isnan(run.solved_at_end).all():
            by_task.setdefault(run.task, []).append(run.solved_at_end[:, run.env_steps == env_step].ravel())
    pools = [np.concatenate(own) for own in by_task.values()]
    if not pools or any(np.isnan(pool).all() for pool in pools):
        return float("nan")
    return float(np.mean([np.nanmean(pool) for pool in pools]))


def _grid(runs: Sequence[ReportRun]) -> tuple[np.ndarray, Scores]:
    """Return the env steps [T] at which any run was evaluated, and all runs' scores there, NaN where one was not."""
    steps = np.unique(np.concatenate([run.env_steps for run in runs]))
    by_task: dict[str, list[np.ndarray]] = {task: [] for task in sorted({run.task for run in runs})}
    for run in runs:
        filled = np.full((len(run.seeds), len(steps)), np.nan)
        filled[:, np.searchsorted(steps, run.env_steps)] = run.scores
        by_task[run.task].append(filled)
    return steps, Scores(list(by_task), [np.concatenate(rows) for rows in by_task.values()])


def _add_label(
    view: View, label: str, runs: Sequence[ReportRun], steps: np.ndarray, scores: Scores, settings: Settings
) -> None:
    """Add the curve, the final score, the table's row and the remarks of one label."""
    wall = _wall_seconds(runs, steps)
    line = _line(label, runs, steps, wall, scores, settings)
    last = int(np.flatnonzero(_evaluated_by_most(runs, steps))[-1])
    aggregates: Mapping[str, Aggregate] = AGGREGATES if view.parts else CURVES
    ends = estimate_all(scores.at(last), aggregates, *settings.bootstrap())
    numbers = {key: Number(float(own.value[0]), float(own.low[0]), float(own.high[0])) for key, own in ends.items()}
    speeds = [run.env_steps_per_second for run in runs]
    speed = float(np.nanmean(speeds)) if not np.isnan(speeds).all() else float("nan")
    seeds, utd = count_range(scores.counts[:, last].tolist()), runs[0].utd
    view.lines.append(line)
    view.finals.append(Final(label, float(utd), numbers["IQM"], seeds, float(wall[last]), speed))
    updates = sorted({float(run.utd) / run.protocol.action_repeat for run in runs})
    view.table.append(
        {
            "algorithm": view.names[label].label,
            **numbers,
            "seeds": seeds,
            "tasks": len(scores.tasks),
            "env steps": int(steps[last]),
            "UTD": utd if isinstance(utd, int) else str(utd),
            "updates per env step": ", ".join(f"{value:g}" for value in updates),
            "wall-clock per run": duration(float(wall[last])),
            "env steps/s": Number(speed),
            "device": joined(device for run in runs for device in run.devices),
            "unfinished": sum(not run.finished for run in runs),
        }
    )
    view.notes.extend(unequal_seeds(label, scores))
    if len(line.env_steps) < len(steps):
        view.notes.append(
            f"{label} on {view.title}: its runs were not all evaluated at the same env steps; the curve shows "
            f"{len(line.env_steps)} of {len(steps)}, those that they share"
        )
    if last < len(steps) - 1:
        view.notes.append(
            f"{label} on {view.title}: the table stands at env step {steps[last]:,}, the last at which the largest "
            f"number of its runs was evaluated; the furthest is {steps[-1]:,}"
        )


def _evaluated_by_most(runs: Sequence[ReportRun], steps: np.ndarray) -> np.ndarray:
    """Return at which env steps [T] the largest number of runs was evaluated.

    A diverged seed counts as evaluated, so that it does not hide the scores of the others.
    """
    counts = np.sum([np.isin(steps, run.env_steps) for run in runs], axis=0)
    return counts == counts.max()


def _wall_seconds(runs: Sequence[ReportRun], steps: np.ndarray) -> np.ndarray:
    """Return the wall-clock at some env steps [T], mean over the runs that were evaluated there."""
    wall = np.full((len(runs), len(steps)), np.nan)
    for row, run in zip(wall, runs, strict=True):
        row[np.searchsorted(steps, run.env_steps)] = run.wall_seconds
    known = np.maximum(1, np.sum(~np.isnan(wall), axis=0))
    return np.nansum(wall, axis=0) / known


def _line(
    label: str, runs: Sequence[ReportRun], steps: np.ndarray, wall: np.ndarray, scores: Scores, settings: Settings
) -> Line:
    found = estimate_all(scores, CURVES, *settings.bootstrap())
    counts = found["IQM"]
    # Where a task or a run is missing, the curve would jump to the scores of the others.
    whole = (counts.tasks == len(scores.tasks)) & np.isin(steps, shared_steps([run.env_steps for run in runs]))
    curves = {key: Estimate(*(array[whole] for array in vars(own).values())) for key, own in found.items()}
    seeds = count_range(scores.counts.max(axis=1).tolist())
    return Line(label, steps[whole], wall[whole], curves, counts.runs[whole], seeds)


def _compare(
    view: View,
    groups: Mapping[str, list[ReportRun]],
    grids: Mapping[str, tuple[np.ndarray, Scores]],
    settings: Settings,
) -> None:
    """Add profiles and probabilities of improvement, at one env step for all algorithms.

    As in the table, the largest number of runs of each algorithm was evaluated there; otherwise a few fast ones would
    stand for all.
    """
    complete = [
        steps[(scores.counts > 0).all(axis=0) & _evaluated_by_most(groups[label], steps)]
        for label, (steps, scores) in grids.items()
    ]
    shared = set.intersection(*(set(steps.tolist()) for steps in complete))
    if not shared:
        view.notes.append(
            f"{view.title}: no comparisons, as no env step has evaluations of every algorithm on all tasks and by as "
            "many runs as any other"
        )
        return
    step = max(shared)
    at_step = {label: scores.at(int(np.searchsorted(steps, step))) for label, (steps, scores) in grids.items()}
    for label, scores in at_step.items():
        seeds = count_range(scores.counts[:, 0].tolist())
        view.profiles.append(
            Profile(label, step, performance_profile(scores, THRESHOLDS, *settings.bootstrap()), seeds)
        )
    for first, second in itertools.combinations(at_step, 2):
        found = probability_of_improvement(at_step[first], at_step[second], *settings.bootstrap())
        view.improvement.append(
            {
                "algorithm": view.names[first].label,
                "compared with": view.names[second].label,
                "probability of improvement": Number(float(found.value[0]), float(found.low[0]), float(found.high[0])),
                "env steps": step,
                "tasks": int(found.tasks[0]),
                "runs of both": int(found.runs[0]),
            }
        )
