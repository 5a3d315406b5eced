"""One view of a report: the results on a suite or on a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from surefoot.report.diagnostics import Diagnostic, DiagnosticLine
from surefoot.report.labels import Curve
from surefoot.report.published import PublishedCurve
from surefoot.report.statistics import Estimate
from surefoot.report.tables import Number, Row, seed_counts


@dataclass(frozen=True)
class Line:
    """One learning curve; all arrays are [T].

    Attributes:
        label: Label of its runs.
        env_steps: Env steps of the points.
        wall_seconds: Wall-clock of the points, mean over runs.
        curves: Estimates by the names of ``CURVES``.
        runs: Number of runs at each point.
        seeds: Number of seeds per task, as text.
    """

    label: str
    env_steps: np.ndarray
    wall_seconds: np.ndarray
    curves: dict[str, Estimate]
    runs: np.ndarray
    seeds: str


@dataclass(frozen=True)
class Final:
    """A label's score at the last env step at which all its runs, or most, were evaluated.

    Attributes:
        label: Label of its runs.
        utd: Gradient updates per agent step.
        score: IQM with its interval.
        seeds: Number of seeds per task, as text.
        wall_seconds: Wall-clock until then, mean over runs.
        env_steps_per_second: Throughput of all seeds of a run, mean over runs.
    """

    label: str
    utd: float
    score: Number
    seeds: str
    wall_seconds: float
    env_steps_per_second: float


@dataclass(frozen=True)
class Profile:
    """A label's performance profile.

    Attributes:
        label: Label of its runs.
        env_steps: Env step of the scores, the same for all labels.
        fractions: Fractions of the runs above ``THRESHOLDS``.
        seeds: Number of seeds per task with a score there, as text.
    """

    label: str
    env_steps: int
    fractions: Estimate
    seeds: str


@dataclass(frozen=True)
class View:
    """The results on a suite or on a task.

    Attributes:
        name: Stem of its files' names.
        title: Title.
        tasks: Its tasks.
        parts: The tasks' views, for a suite.
        names: Names of its curves among those shown here, by their labels among all.
        settings: Rows of all settings of the curves.
        lines: One curve for each label with evaluated runs.
        finals: Final scores of the same labels.
        table: Rows of aggregates of the same labels.
        published: Published curves, for a task.
        diagnostics: Share of solved episodes, where environments report it, and diagnostics of the networks.
        layers: Diagnostics of single layers, for a task.
        profiles: Performance profiles of the same labels, for a suite.
        improvement: Rows of probability of improvement, for a suite, at the env step of the profiles.
        notes: Remarks.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    parts: list[View]
    names: dict[str, Curve] = field(default_factory=dict)
    settings: list[Row] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    finals: list[Final] = field(default_factory=list)
    table: list[Row] = field(default_factory=list)
    published: list[PublishedCurve] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    layers: list[Diagnostic] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    improvement: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def families(self) -> list[str]:
        """Families of curves with several UTDs."""
        return [family for family, n in Counter(curve.family for curve in self.names.values()).items() if n > 1]

    @property
    def num_runs(self) -> int:
        """Number of runs, each with one seed."""
        return sum(int(line.runs.max(initial=0)) for line in self.lines)

    def seed_counts(self, lines: Iterable[Line | Final | Profile | DiagnosticLine]) -> str:
        """Return the numbers of seeds of some of its curves as text."""
        return seed_counts({self.names[line.label].label: line.seeds for line in lines}, len(self.tasks) > 1)

    @property
    def by_task(self) -> list[Row]:
        """A row for each task of a suite, with a column of IQMs for each label."""
        rows = []
        for part in self.parts:
            scores = {final.label: final.score for final in part.finals}
            own = {curve.label: scores.get(label, Number(np.nan)) for label, curve in self.names.items()}
            rows.append({"task": part.tasks[0], **own})
        return rows
