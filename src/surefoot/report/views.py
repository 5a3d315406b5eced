"""From labelled runs to the numbers of every figure and table: plain data, drawn elsewhere for page and paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surefoot.errors import UserError
from surefoot.report.comparisons import improvement_rows, profile
from surefoot.report.labels import family
from surefoot.report.notes import left_out, remarks, unequal_seeds
from surefoot.report.published import PublishedCurve, published_curves
from surefoot.report.runs import SCORED_SUITES, ReportRun, shared_steps
from surefoot.report.settings import Settings
from surefoot.report.statistics import AGGREGATES, Estimate, Scores, iqm, mean
from surefoot.report.wording import Number, duration, file_names, joined, seeds_text

SUITE_TITLES = {"dmc": "DM Control", "myosuite": "MyoSuite"}
CURVES = {"IQM": iqm, "mean": mean}
"""The aggregates that learning curves show, by name."""


@dataclass(frozen=True)
class Line:
    """One curve; all arrays are [T].

    Attributes:
        label: of whom.
        env_steps: of its points.
        wall_seconds: the same points by the clock, mean over runs.
        curves: value and interval by the names of ``CURVES``.
        runs: how many entered each point.
        seeds: how many each task has, for a person.
    """

    label: str
    env_steps: np.ndarray
    wall_seconds: np.ndarray
    curves: dict[str, Estimate]
    runs: np.ndarray
    seeds: str


@dataclass(frozen=True)
class Final:
    """What a label ends with: at the last env step at which all its runs, or most, were evaluated.

    Attributes:
        label: of whom.
        family: its label without the UTD.
        utd: gradient updates per agent step.
        score: IQM with its interval.
        seeds: how many each task has, for a person.
        wall_seconds: until then, mean over runs.
        env_steps_per_second: all seeds of a run together, mean over runs.
    """

    label: str
    family: str
    utd: int
    score: Number
    seeds: str
    wall_seconds: float
    env_steps_per_second: float


@dataclass(frozen=True)
class View:
    """A suite or a task.

    Attributes:
        name: of its files.
        title: for a person.
        tasks: that it is made of.
        lines: one for each label that has runs of all or some of them.
        finals: the same labels at their ends.
        published: curves to lie beside them; tasks only.
        table: a row of aggregates for each label.
        profiles: share of runs above each threshold, by label; suites only.
        improvement: rows of probability of improvement; suites only.
        notes: what a reader must know.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    lines: list[Line]
    finals: list[Final]
    published: list[PublishedCurve]
    table: list[dict[str, Any]]
    profiles: dict[str, Estimate] = field(default_factory=dict)
    improvement: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def utd_matters(self) -> bool:
        """Whether some algorithm is there with several UTDs."""
        return any(count > 1 for count in Counter(final.family for final in self.finals).values())


def make_views(groups: Mapping[str, list[ReportRun]], settings: Settings) -> list[View]:
    """Return a view of each scored suite that has more than one task, then of each task.

    Raises:
        UserError: no run has an evaluation yet.
    """
    every = [run for runs in groups.values() for run in runs]
    if not any(len(run.env_steps) for run in every):
        raise UserError(f"{every[0].path} has no evaluation yet, and there is no other run: nothing to report")
    views = []
    for suite in SCORED_SUITES:
        tasks, compared = _common_tasks(suite, groups)
        if len(tasks) > 1:
            title = f"{SUITE_TITLES[suite]}, {len(tasks)} tasks"
            view = _view(f"suite-{suite}", title, tasks, compared, settings)
            view.notes.extend(left_out(suite, title, tasks, compared, groups))
            views.append(view)
    every_task = sorted({run.task for run in every})
    names = file_names(every_task, [view.name for view in views])
    return views + [_view(names[task], task, (task,), groups, settings) for task in every_task]


def _common_tasks(
    suite: str, groups: Mapping[str, list[ReportRun]]
) -> tuple[tuple[str, ...], dict[str, list[ReportRun]]]:
    """Return the tasks that all labels with more than one task of a suite have, and those labels' runs.

    An aggregate over other tasks is another quantity, so curves of different tasks are never drawn together.
    """
    tasks = {
        label: {run.task for run in runs if run.suite == suite and len(run.env_steps)} for label, runs in groups.items()
    }
    several = {label: own for label, own in tasks.items() if len(own) > 1}
    common = tuple(sorted(set.intersection(*several.values()))) if several else ()
    return common, {label: runs for label, runs in groups.items() if label in several}


def _view(
    name: str, title: str, tasks: tuple[str, ...], groups: Mapping[str, list[ReportRun]], settings: Settings
) -> View:
    all_runs = {label: [run for run in runs if run.task in tasks] for label, runs in groups.items()}
    view = View(name, title, tasks, [], [], published_curves(set(tasks)) if len(tasks) == 1 else [], [])
    grids: dict[str, tuple[np.ndarray, Scores]] = {}
    for label, everything in all_runs.items():
        if not (runs := [run for run in everything if len(run.env_steps)]):
            continue
        env_steps, scores = grids[label] = _grid(runs)
        line, wall = _line(label, runs, env_steps, scores, settings)
        last = int(np.searchsorted(env_steps, _shared_step(runs)))
        ends = settings.estimate_all(scores.at(last), AGGREGATES if len(tasks) > 1 and _scored(runs) else CURVES)
        numbers = {key: Number(float(own.value[0]), float(own.low[0]), float(own.high[0])) for key, own in ends.items()}
        speeds = [run.env_steps_per_second for run in runs]
        speed = float(np.nanmean(speeds)) if not np.isnan(speeds).all() else float("nan")
        seeds = seeds_text(scores.counts[:, last].tolist())
        utd = runs[0].utd
        view.lines.append(line)
        view.finals.append(Final(label, family(label, runs[0]), utd, numbers["IQM"], seeds, float(wall[last]), speed))
        view.table.append(_row(runs, int(env_steps[last]), view.finals[-1], numbers))
        view.notes.extend(unequal_seeds(label, scores))
        if len(line.env_steps) < len(env_steps):
            view.notes.append(
                f"{label} on {title}: its runs were not all evaluated at the same env steps; the curve shows "
                f"{len(line.env_steps)} of {len(env_steps)}, those that they share"
            )
        if last < len(env_steps) - 1:
            view.notes.append(
                f"{label} on {title}: the table stands at env step {env_steps[last]:,}, the last at which most of its "
                f"runs were evaluated; the furthest is {env_steps[-1]:,}"
            )
    view.notes.extend(remarks(all_runs))
    if len({row["env steps"] for row in view.table}) > 1:
        view.notes.append(f"{title}: the algorithms of the table stand at different env steps")
    if len(tasks) > 1 and all(_scored(runs) for runs in all_runs.values()):
        _compare(view, grids, settings)
    return view


def _compare(view: View, grids: Mapping[str, tuple[np.ndarray, Scores]], settings: Settings) -> None:
    """Add what sets algorithms against one another, at one env step for all of them."""
    complete = [steps[(scores.counts > 0).all(axis=0)] for steps, scores in grids.values()]
    shared = set.intersection(*(set(steps.tolist()) for steps in complete))
    if not shared:
        view.notes.append(f"{view.title}: no comparisons, as no env step has evaluations of every algorithm and task")
        return
    step = max(shared)
    at_step = {label: scores.at(int(np.searchsorted(steps, step))) for label, (steps, scores) in grids.items()}
    view.profiles.update({label: profile(scores, settings) for label, scores in at_step.items()})
    view.improvement.extend(improvement_rows(at_step, step, settings))


def _scored(runs: Sequence[ReportRun]) -> bool:
    """Return whether all runs are of suites whose scores lie between 0 and 1."""
    return all(run.suite in SCORED_SUITES for run in runs)


def _grid(runs: Sequence[ReportRun]) -> tuple[np.ndarray, Scores]:
    """Return the env steps [T] at which any run was evaluated, and all runs' scores there, NaN where one was not."""
    steps = np.unique(np.concatenate([run.env_steps for run in runs]))
    tasks = sorted({run.task for run in runs})
    values = []
    for task in tasks:
        rows = []
        for run in runs:
            if run.task == task:
                filled = np.full((len(run.seeds), len(steps)), np.nan)
                filled[:, np.searchsorted(steps, run.env_steps)] = run.scores
                rows.append(filled)
        values.append(np.concatenate(rows))
    return steps, Scores(tasks, values)


def _line(
    label: str, runs: Sequence[ReportRun], env_steps: np.ndarray, scores: Scores, settings: Settings
) -> tuple[Line, np.ndarray]:
    """Return the curve, and the wall-clock at all points [T]."""
    found = settings.estimate_all(scores, CURVES)
    counts = next(iter(found.values()))
    # Where a task or a run is missing, the curve would jump to what the others reach.
    whole = (counts.tasks == len(scores.tasks)) & np.isin(env_steps, shared_steps([run.env_steps for run in runs]))
    wall = np.full((len(runs), len(env_steps)), np.nan)
    for row, run in zip(wall, runs, strict=True):
        row[np.searchsorted(env_steps, run.env_steps)] = run.wall_seconds
    known = ~np.isnan(wall)
    seconds = np.divide(
        np.nansum(wall, axis=0), known.sum(axis=0), where=known.any(axis=0), out=np.zeros(len(env_steps))
    )
    curves = {
        key: Estimate(own.value[whole], own.low[whole], own.high[whole], own.runs[whole], own.tasks[whole])
        for key, own in found.items()
    }
    line = Line(
        label,
        env_steps[whole],
        seconds[whole],
        curves,
        counts.runs[whole],
        seeds_text(scores.counts.max(axis=1).tolist()),
    )
    return line, seconds


def _shared_step(runs: Sequence[ReportRun]) -> int:
    """Return the last env step at which most runs were evaluated: all of them, where there is such a step.

    A seed that diverged counts as evaluated, so that it does not hide what became of the others.
    """
    steps, counts = np.unique(np.concatenate([run.env_steps for run in runs]), return_counts=True)
    return int(steps[counts == counts.max()][-1])


def _row(runs: Sequence[ReportRun], env_steps: int, final: Final, numbers: Mapping[str, Number]) -> dict[str, Any]:
    per_env_step = sorted({run.utd / run.protocol.action_repeat for run in runs})
    return {
        "algorithm": final.label,
        **numbers,
        "seeds": final.seeds,
        "tasks": len({run.task for run in runs}),
        "env steps": env_steps,
        "UTD": final.utd,
        "updates per env step": ", ".join(f"{value:g}" for value in per_env_step),
        "wall-clock per run": duration(final.wall_seconds),
        "env steps/s": Number(final.env_steps_per_second),
        "device": joined(run.device for run in runs),
        "unfinished": sum(not run.finished for run in runs),
    }
