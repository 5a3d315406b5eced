"""From run directories to a folder with the page, the figures and the tables."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.errors import MissingDependency, UserError
from surefoot.output import output_errors
from surefoot.report.comparisons import task_table
from surefoot.report.diagnostics import make_diagnostics, make_layers
from surefoot.report.drawers import draw_at_once
from surefoot.report.figures import make_jobs
from surefoot.report.labels import label_notes, label_runs
from surefoot.report.page import make_page
from surefoot.report.runs import ReportRun, load_runs
from surefoot.report.settings import Settings
from surefoot.report.styles import make_styles
from surefoot.report.tables import to_csv, to_latex
from surefoot.report.views import View, make_views
from surefoot.report.wording import Number, duration
from surefoot.runs.atomic import TEMPORARY

PAGE = "index.html"
_OWN = (PAGE, "figures", "tables")


def make_report(paths: Sequence[Path], out: Path, settings: Settings | None = None) -> Path:
    """Write a report of every run below the paths.

    Args:
        paths: run directories, or directories that hold some.
        out: folder to make, or a report's to replace.
        settings: of the statistics.

    Returns:
        The page.

    Raises:
        UserError: there are no runs, one cannot be read, protocols are mixed, or the folder cannot be written; nothing
            was.
    """
    settings = settings or Settings()
    _check_settings(settings)
    for package in ("matplotlib", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependency(package, "report", "a report")
    out = Path(os.path.abspath(out))
    _check_free(out)
    groups = label_runs(load_runs(paths))
    styles = make_styles(groups)
    views = make_views(groups, settings)
    diagnostics, layers = make_diagnostics(views, groups), make_layers(views, groups)
    rows = runs_table(groups)
    interval = f"{settings.confidence:.0%} stratified bootstrap interval, {settings.resamples} resamples"
    tables = make_tables(views, rows)
    page = make_page(views, diagnostics, layers, styles, tables, label_notes(groups) + notes(views), interval)
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{out.name}-", dir=out.parent) as beside:
            partial = Path(beside) / "report"
            _write(partial, page, tables)
            jobs = make_jobs(views, diagnostics, layers)
            draw_at_once(partial / "figures", jobs, styles, f"{settings.confidence:.0%} interval")
            _replace(out, partial, Path(beside) / "earlier")
    return out / PAGE


def notes(views: Sequence[View]) -> list[str]:
    """Return what a reader of the report must know, each line once."""
    return list(dict.fromkeys(note for view in views for note in view.notes))


def make_tables(views: Sequence[View], runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return every table's rows by the name of its files."""
    tasks = [view for view in views if len(view.tasks) == 1]
    tables = {"runs": runs, "tasks": [{"task": view.tasks[0], **row} for view in tasks for row in view.table]}
    for view in views:
        if len(view.tasks) > 1:
            tables[f"{view.name}-by-task"] = task_table(view, tasks)
        if view.table:
            tables[f"{view.name}-aggregates"] = view.table
        if view.improvement:
            tables[f"{view.name}-improvement"] = view.improvement
    return {name: rows for name, rows in tables.items() if rows}


def runs_table(groups: dict[str, list[ReportRun]]) -> list[dict[str, Any]]:
    """Return a row for each run."""
    return [
        {
            "run": str(run.path),
            "algorithm": label,
            "task": run.task,
            "seeds": ", ".join(map(str, run.seeds)),
            "UTD": run.utd,
            "updates per env step": f"{run.utd / run.protocol.action_repeat:g}",
            "env steps": run.last_env_step or 0,
            "of": run.total_env_steps,
            "state": str(run.state),
            "score": Number(run.last_score),
            "wall-clock": duration(run.elapsed_seconds),
            "parameters": run.parameters or "–",
            "device": run.device,
            "protocol": str(run.protocol),
        }
        for label, runs in groups.items()
        for run in runs
    ]


def _write(folder: Path, page: str, tables: Mapping[str, list[dict[str, Any]]]) -> None:
    for made in (folder, folder / "figures", folder / "tables"):
        made.mkdir()
    (folder / PAGE).write_text(page, encoding="utf-8")
    for name, rows in tables.items():
        (folder / "tables" / f"{name}.csv").write_text(to_csv(rows), encoding="utf-8")
        (folder / "tables" / f"{name}.tex").write_text(to_latex(rows), encoding="utf-8")


def _check_settings(settings: Settings) -> None:
    if not 0.0 < settings.confidence < 1.0:
        raise UserError(f"interval must be between 0 and 100 percent, got {settings.confidence:.0%}")
    if settings.resamples < 1:
        raise UserError(f"resamples must be at least 1, got {settings.resamples}")
    if settings.seed < 0:
        raise UserError(f"seed must be 0 or more, got {settings.seed}")


def _check_free(out: Path) -> None:
    """Refuse a folder that is something else than a report, before the work."""
    with output_errors(out):
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise UserError(
                f"cannot write {out}: it is {'a link' if out.is_symlink() else 'a file'}, expected a folder"
            )
        names = {entry.name for entry in out.iterdir()} if out.exists() else set()
        if others := names - set(_OWN):
            raise UserError(f"{out} is not a report's folder: it holds {min(others)!r}; choose a new or empty one")
        if names and not _is_page(out / PAGE):
            raise UserError(f"{out} is not a report's folder: it has no {PAGE} of a report; choose a new or empty one")


def _replace(out: Path, partial: Path, earlier: Path) -> None:
    """Move the finished folder into its place; an earlier report steps aside first, and comes back if that fails."""
    replaced = out.exists()
    if replaced:
        out.rename(earlier)
    try:
        partial.rename(out)
    except OSError:
        if replaced:
            earlier.rename(out)
        raise


def _is_page(path: Path) -> bool:
    """Say whether a file is a report's page, so that nobody's own folders are replaced."""
    try:
        with path.open("rb") as stream:
            return b"<title>surefoot report" in stream.read(1000)
    except OSError:
        return False
