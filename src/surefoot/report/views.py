"""From labelled runs to the numbers of every figure and table: plain data, drawn elsewhere for page and paper."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surefoot.errors import UserError
from surefoot.report.published import PublishedCurve, published_curves
from surefoot.report.runs import SCORED_SUITES, ReportRun
from surefoot.report.statistics import (
    AGGREGATES,
    Aggregate,
    Estimate,
    Scores,
    estimate,
    iqm,
    mean,
    performance_profile,
    probability_of_improvement,
)

SUITE_TITLES = {"dmc": "DM Control", "myosuite": "MyoSuite"}
_THRESHOLDS = np.linspace(0.0, 1.0, 51)


@dataclass(frozen=True)
class Settings:
    """How statistics are made.

    Attributes:
        confidence: of intervals, 0.95 or 0.9.
        resamples: of the bootstrap.
        seed: of its generator.
    """

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def estimate(self, scores: Scores, aggregate: Aggregate) -> Estimate:
        """Return an aggregate with its interval; equal scores give equal intervals, whatever was asked before."""
        return estimate(scores, aggregate, np.random.default_rng(self.seed), self.confidence, self.resamples)


@dataclass(frozen=True)
class Line:
    """One curve with its interval; all arrays are [T]."""

    label: str
    env_steps: np.ndarray
    wall_seconds: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray
    seeds: str


@dataclass(frozen=True)
class View:
    """A suite or a task.

    Attributes:
        name: of its files.
        title: for a person.
        tasks: that it is made of.
        lines: one for each label that has runs of all or some of them.
        published: curves to lie beside them.
        table: a row of aggregates for each label, at the last point that all its tasks have.
        profiles: share of runs above each threshold, by label; suites only.
        improvement: rows of probability of improvement; suites only.
        notes: what a reader must know.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    lines: list[Line]
    published: list[PublishedCurve]
    table: list[dict[str, Any]]
    profiles: dict[str, Estimate] = field(default_factory=dict)
    improvement: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_views(groups: Mapping[str, list[ReportRun]], settings: Settings) -> list[View]:
    """Return a view of each scored suite that has more than one task, then of each task."""
    begun = {label: [run for run in runs if len(run.env_steps)] for label, runs in groups.items()}
    waiting = [run for runs in groups.values() for run in runs if not len(run.env_steps)]
    groups = {label: runs for label, runs in begun.items() if runs}
    runs = [run for own in groups.values() for run in own]
    if not runs:
        raise UserError(f"{waiting[0].path} has no evaluation yet, and there is no other run: nothing to report")
    views: list[View] = []
    for suite in SCORED_SUITES:
        tasks, compared = _common_tasks(suite, groups)
        if len(tasks) > 1:
            title = f"{SUITE_TITLES[suite]}, {len(tasks)} tasks"
            view = _view(f"suite-{suite}", title, tasks, compared, settings)
            view.notes.extend(
                f"{label} is left out of {title}: it has runs of one of them or none"
                for label in groups
                if label not in compared and any(run.suite == suite for run in groups[label])
            )
            views.append(view)
    every_task = sorted({run.task for run in runs})
    views += [_view(file_name(task), task, (task,), groups, settings) for task in every_task]
    for view in views:
        view.notes.extend(f"{run.path} has no evaluation yet" for run in waiting if run.task in view.tasks)
    return views


def _common_tasks(
    suite: str, groups: Mapping[str, list[ReportRun]]
) -> tuple[tuple[str, ...], dict[str, list[ReportRun]]]:
    """Return the tasks that all labels with more than one task of a suite have, and those labels' runs.

    An aggregate over other tasks is another quantity, so curves of different tasks are never drawn together.
    """
    tasks = {label: {run.task for run in runs if run.suite == suite} for label, runs in groups.items()}
    several = {label: own for label, own in tasks.items() if len(own) > 1}
    common = tuple(sorted(set.intersection(*several.values()))) if several else ()
    return common, {label: runs for label, runs in groups.items() if label in several}


def thresholds() -> np.ndarray:
    """Return the scores at which performance profiles are taken."""
    return _THRESHOLDS


def _view(
    name: str, title: str, tasks: tuple[str, ...], groups: Mapping[str, list[ReportRun]], settings: Settings
) -> View:
    own = {label: [run for run in runs if run.task in tasks] for label, runs in groups.items()}
    own = {label: runs for label, runs in own.items() if runs}
    grids = {label: _grid(runs) for label, runs in own.items()}
    scored = runs_are_scored(own)
    shared = _shared_step(list(own.values()))
    lines, table, finals, notes = [], [], {}, []
    for label, runs in own.items():
        env_steps, scores = grids[label]
        lines.append(_line(label, runs, env_steps, scores, settings))
        last = int(np.searchsorted(env_steps, _shared_step([runs])))
        finals[label] = scores.at(int(np.searchsorted(env_steps, shared)))
        table.append(_row(label, runs, int(env_steps[last]), scores.at(last), scored, settings))
        if env_steps[last] < env_steps[-1]:
            notes.append(
                f"{label}: the table stands at env step {env_steps[last]:,}, the last that all its runs were evaluated "
                f"at; the furthest is {env_steps[-1]:,}"
            )
        if len(set(scores.seeds)) > 1:
            counted = ", ".join(f"{task} {count}" for task, count in zip(scores.tasks, scores.seeds, strict=True))
            notes.append(f"{label} has unequal numbers of seeds: {counted}")
    notes += [f"{run.path} is unfinished: {_reached(run)}" for runs in own.values() for run in runs if not run.finished]
    notes += [line for runs in own.values() for line in _missing(runs)]
    if len({row["env steps"] for row in table}) > 1:
        notes.append("the algorithms of the table stand at different env steps")
    view = View(name, title, tasks, lines, published_curves(set(tasks)) if len(tasks) == 1 else [], table, notes=notes)
    if len(tasks) > 1 and scored:
        view.profiles.update({label: _profile(scores, settings) for label, scores in finals.items()})
        view.improvement.extend(_improvement(finals, shared, settings))
    return view


def comparable(groups: Mapping[str, list[ReportRun]]) -> dict[str, list[ReportRun]]:
    """Return the runs whose scores have one scale: those between 0 and 1, or all where there are none of these."""
    scored = {label: [run for run in runs if run.suite in SCORED_SUITES] for label, runs in groups.items()}
    return {label: runs for label, runs in scored.items() if runs} or dict(groups)


def runs_are_scored(groups: Mapping[str, list[ReportRun]]) -> bool:
    """Return whether all runs are of suites whose scores lie between 0 and 1."""
    return all(run.suite in SCORED_SUITES for runs in groups.values() for run in runs)


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


def _line(label: str, runs: Sequence[ReportRun], env_steps: np.ndarray, scores: Scores, settings: Settings) -> Line:
    found = settings.estimate(scores, iqm)
    # Where a task is missing, the curve would jump to what the others reach.
    whole = found.tasks == len(scores.tasks)
    wall = np.full((len(runs), len(env_steps)), np.nan)
    for row, run in zip(wall, runs, strict=True):
        row[np.searchsorted(env_steps, run.env_steps)] = run.wall_seconds
    known = ~np.isnan(wall)
    seconds = np.divide(
        np.nansum(wall, axis=0), known.sum(axis=0), where=known.any(axis=0), out=np.zeros(len(env_steps))
    )
    return Line(
        label=label,
        env_steps=env_steps[whole],
        wall_seconds=seconds[whole],
        value=found.value[whole],
        low=found.low[whole],
        high=found.high[whole],
        runs=found.runs[whole],
        seeds=seeds_text(scores.seeds),
    )


def _shared_step(groups: Sequence[Sequence[ReportRun]]) -> int:
    """Return the last env step at which most runs were evaluated: all of them, where there is such a step.

    A seed that diverged counts as evaluated, so that it does not hide what became of the others.
    """
    steps, counts = np.unique(np.concatenate([run.env_steps for runs in groups for run in runs]), return_counts=True)
    return int(steps[counts == counts.max()][-1])


def _row(
    label: str, runs: Sequence[ReportRun], env_steps: int, final: Scores, scored: bool, settings: Settings
) -> dict[str, Any]:
    row: dict[str, Any] = {"algorithm": label}
    for name, aggregate in AGGREGATES.items():
        if not scored and aggregate not in (iqm, mean):
            continue
        found = settings.estimate(final, aggregate)
        row[name] = Number(float(found.value[0]), float(found.low[0]), float(found.high[0]))
    wall = [float(run.wall_seconds[-1]) for run in runs]
    per_env_step = sorted({run.utd / run.protocol.action_repeat for run in runs})
    return {
        **row,
        "seeds": seeds_text(final.seeds),
        "tasks": len(final.tasks),
        "env steps": env_steps,
        "UTD": _joined(run.utd for run in runs),
        "updates per env step": ", ".join(f"{value:g}" for value in per_env_step),
        "wall-clock per run": duration(sum(wall) / len(wall)),
        "env steps/s": _known_mean([run.env_steps_per_second for run in runs]),
        "device": _joined(run.device for run in runs),
        "unfinished": sum(not run.finished for run in runs),
    }


@dataclass(frozen=True)
class Number:
    """A value with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _profile(final: Scores, settings: Settings) -> Estimate:
    generator = np.random.default_rng(settings.seed)
    return performance_profile(final, _THRESHOLDS, generator, settings.confidence, settings.resamples)


def _known_mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def _improvement(finals: Mapping[str, Scores], env_steps: int, settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for first, second in itertools.combinations(finals, 2):
        tasks = [task for task in finals[first].tasks if task in finals[second].tasks]
        if not tasks:
            continue
        pair = (finals[first].select(tasks), finals[second].select(tasks))
        generator = np.random.default_rng(settings.seed)
        found = probability_of_improvement(*pair, generator, settings.confidence, settings.resamples)
        rows.append(
            {
                "algorithm": first,
                "compared with": second,
                "probability of improvement": Number(float(found.value[0]), float(found.low[0]), float(found.high[0])),
                "env steps": env_steps,
                "tasks": int(found.tasks[0]),
                "runs": int(found.runs[0]),
            }
        )
    return rows


def _missing(runs: Sequence[ReportRun]) -> list[str]:
    """Return a line for each seed that lacks an evaluation which its run made, and for seeds that are there twice."""
    lines = []
    for run in runs:
        for seed, row in zip(run.seeds, run.scores, strict=True):
            if gaps := int(np.isnan(row).sum()):
                lines.append(f"{run.path}: seed {seed} lacks {gaps} of {len(row)} evaluations")
    counted = Counter((run.task, seed) for run in runs for seed in run.seeds)
    lines += [f"seed {seed} of {task} counts {count} times" for (task, seed), count in counted.items() if count > 1]
    return lines


def _reached(run: ReportRun) -> str:
    last = int(run.env_steps[-1]) if len(run.env_steps) else 0
    return f"evaluated up to env step {last:,} of {run.total_env_steps:,}"


def file_name(text: str) -> str:
    """Return a name that any file system takes, of one that a file gave."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:100].lstrip(".") or "unnamed"


def seeds_text(seeds: Sequence[int]) -> str:
    """Return how many seeds tasks have: "5", or "3 to 5" where they differ."""
    return str(seeds[0]) if len(set(seeds)) == 1 else f"{min(seeds)} to {max(seeds)}"


def duration(seconds: float) -> str:
    """Return a duration for a person."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"


def _joined(values: Any) -> str:
    return ", ".join(str(value) for value in sorted(set(values)))
