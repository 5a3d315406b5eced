"""Reports: one page, figures and tables from run directories."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surefoot.errors import MissingDependency, UserError
from surefoot.output import output_errors
from surefoot.report.figures import draw_all
from surefoot.report.labels import label_runs, settings_table
from surefoot.report.page import make_page
from surefoot.report.runs import ReportRun, load_runs
from surefoot.report.statistics import Estimate
from surefoot.report.style import make_styles
from surefoot.report.tables import Number, Row, duration, joined, to_csv, to_latex
from surefoot.report.view import View
from surefoot.report.views import THRESHOLDS, make_views
from surefoot.runs.atomic import TEMPORARY, check_length
from surefoot.runs.layout import absolute
from surefoot.text import printable, readable
from surefoot.whole_numbers import whole_number

PAGE = "index.html"
_CONTENT = (PAGE, "figures", "tables")


@dataclass(frozen=True)
class Settings:
    """Settings of a report's statistics.

    Attributes:
        confidence: Probability covered by the intervals, between 0 and 1.
        resamples: Number of bootstrap resamples, at least 1.
        seed: Seed of the resamples, at least 0.

    Raises:
        UserError: A value is outside its range.
    """

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence < 1.0:
            raise UserError(f"interval must be between 0 and 100 percent, got {self.confidence:.0%}")
        object.__setattr__(self, "resamples", whole_number("resamples", self.resamples, 1))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0))

    def bootstrap(self) -> tuple[np.random.Generator, float, int]:
        """Return a fresh generator, the confidence and the number of resamples: equal scores give equal intervals."""
        return np.random.default_rng(self.seed), self.confidence, self.resamples


def make_report(
    paths: Sequence[Path], out: Path, settings: Settings | None = None, leave_out: Callable[[str], None] | None = None
) -> Path:
    """Write a report of every run below the paths.

    Args:
        paths: Run directories, or directories that contain some.
        out: Folder to create, or an earlier report to replace.
        settings: Settings of the statistics; None for the defaults.
        leave_out: Called with one line for each run, folder or log that cannot be read; the page has them too.

    Returns:
        The page.

    Raises:
        UserError: There are no runs, none can be read, protocols are mixed, or the folder cannot be written. Nothing
            was written.
        MissingDependency: matplotlib or plotly is not installed.
        RunFailure: The disk is full or broken.
    """
    settings = settings or Settings()
    for package in ("matplotlib", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependency(package, "report", "a report")
    out = Path(os.path.normpath(absolute(out)))
    _validate_out(out)
    left_out: list[str] = []
    groups = label_runs(load_runs(paths, left_out.append))
    views = make_views(groups, settings)
    styles = make_styles([list(view.names) for view in views])
    tables = _tables(views, groups)
    found = [f"left out: {line}" for line in left_out]
    notes = found + list(dict.fromkeys(note for view in views for note in view.notes))
    interval = f"{settings.confidence:.0%} stratified bootstrap intervals"
    page = make_page(views, styles, tables, notes, interval, settings.resamples)
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=out.parent) as temporary:
            partial = Path(temporary) / "report"
            _write(partial, page, tables, _series(views))
            draw_all(partial / "figures", views, styles, interval)
            _replace(out, partial, Path(temporary) / "earlier")
    if leave_out is not None:
        for line in left_out:
            leave_out(line)
    return out / PAGE


def _tables(views: Sequence[View], groups: Mapping[str, list[ReportRun]]) -> dict[str, list[Row]]:
    """Return the rows of every table by the stem of its files' names."""
    tables = {
        "runs": _runs_table(groups),
        "settings": settings_table({label: runs[0] for label, runs in groups.items()}),
        "tasks": [
            {"task": view.tasks[0], **row, "algorithm": label}
            for view in views
            if not view.parts
            for label, row in zip(view.names, view.table, strict=True)
        ],
    }
    for view in views:
        tables[f"{view.name}-by-task"] = view.by_task
        tables[f"{view.name}-aggregates"] = view.table
        tables[f"{view.name}-improvement"] = view.improvement
        tables[f"{view.name}-settings"] = view.settings
    return {name: rows for name, rows in tables.items() if rows}


def _series(views: Sequence[View]) -> dict[str, list[Row]]:
    """Return the points of curves and performance profiles by the stem of their files' names."""
    series: dict[str, list[Row]] = {}
    for view in views:
        series[f"{view.name}-curves"] = [
            {
                "algorithm": view.names[line.label].label,
                "env steps": int(step),
                "wall-clock seconds": Number(float(line.wall_seconds[i])),
                **{name: _at(found, i) for name, found in line.curves.items()},
                "runs": int(line.runs[i]),
            }
            for line in view.lines
            for i, step in enumerate(line.env_steps)
        ]
        series[f"{view.name}-profiles"] = [
            {
                "algorithm": view.names[profile.label].label,
                "score": float(threshold),
                "fraction of runs above it": _at(profile.fractions, i),
            }
            for profile in view.profiles
            for i, threshold in enumerate(THRESHOLDS)
        ]
    return {name: rows for name, rows in series.items() if rows}


def _at(found: Estimate, index: int) -> Number:
    return Number(float(found.value[index]), float(found.low[index]), float(found.high[index]))


def _runs_table(groups: Mapping[str, list[ReportRun]]) -> list[Row]:
    return [
        {
            "run": printable(run.path),
            "algorithm": label,
            "task": run.task,
            "seeds": ", ".join(map(str, run.seeds)),
            "UTD": run.utd if isinstance(run.utd, int) else str(run.utd),
            "updates per env step": f"{float(run.utd) / run.protocol.action_repeat:g}",
            "env steps": run.last_env_step or 0,
            "of": run.total_env_steps,
            "state": str(run.state),
            "score": Number(_last_score(run)),
            "wall-clock": duration(run.elapsed_seconds),
            "parameters": run.parameters or None,
            "device": joined(run.devices),
            "protocol": str(run.protocol),
        }
        for label, runs in groups.items()
        for run in runs
    ]


def _last_score(run: ReportRun) -> float:
    """Return the mean over the seeds with a score at the last evaluation; NaN where none has."""
    if not len(run.env_steps) or np.isnan(run.scores[:, -1]).all():
        return float("nan")
    return float(np.nanmean(run.scores[:, -1]))


def _write(folder: Path, page: str, tables: Mapping[str, list[Row]], series: Mapping[str, list[Row]]) -> None:
    for new in (folder, folder / "figures", folder / "tables"):
        new.mkdir()
    (folder / PAGE).write_bytes(readable(page).encode())
    for name, rows in {**tables, **series}.items():
        (folder / "tables" / f"{name}.csv").write_bytes(readable(to_csv(rows)).encode())
    for name, rows in tables.items():
        (folder / "tables" / f"{name}.tex").write_bytes(readable(to_latex(rows)).encode())


def _validate_out(out: Path) -> None:
    """Validate that the folder is new, empty or an earlier report."""
    with output_errors(out):
        check_length(out, "figures" + "x" * 200)
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            kind = "a link" if out.is_symlink() else "a file"
            raise UserError(f"cannot write {out}: it is {kind}, expected a folder")
        names = {entry.name for entry in out.iterdir()} if out.exists() else set()
        if others := names - set(_CONTENT):
            raise UserError(f"{out} is not a report's folder: it contains {min(others)!r}; choose a new or empty one")
        if names and not _is_page(out / PAGE):
            raise UserError(f"{out} is not a report's folder: it has no {PAGE} of a report; choose a new or empty one")


def _is_page(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return b"<title>surefoot report" in stream.read(1000)
    except OSError:
        return False


def _replace(out: Path, partial: Path, earlier: Path) -> None:
    """Move the finished folder to its place; an earlier report is moved away first, and back if that fails."""
    replaced = out.exists()
    if replaced:
        out.rename(earlier)
    try:
        partial.rename(out)
    except OSError:
        if replaced:
            earlier.rename(out)
        raise
