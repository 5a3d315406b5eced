"""From run directories to a folder with the page, the figures and the tables."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot.errors import MissingDependency, UserError
from surefoot.output import output_errors
from surefoot.report.diagnostics import make_diagnostic_views
from surefoot.report.figures import draw_all
from surefoot.report.labels import label_runs
from surefoot.report.page import make_page
from surefoot.report.runs import ReportRun, load_runs
from surefoot.report.styles import make_styles
from surefoot.report.tables import to_csv, to_latex
from surefoot.report.views import Settings, View, duration, make_views
from surefoot.runs.atomic import REPLACED, TEMPORARY

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
    runs = load_runs(paths)
    groups = label_runs(runs)
    styles = make_styles(groups)
    views, diagnostics = make_views(groups, settings), make_diagnostic_views(groups)
    interval = f"{settings.confidence:.0%} stratified bootstrap interval, {settings.resamples} resamples"
    rows = runs_table(groups)
    page = make_page(views, diagnostics, groups, styles, rows, interval)
    partial = out.with_name(f"{TEMPORARY}{out.name}")
    with output_errors(out):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            for folder in (partial / "figures", partial / "tables"):
                folder.mkdir(parents=True)
            (partial / PAGE).write_text(page, encoding="utf-8")
            draw_all(partial / "figures", views, diagnostics, groups, styles, f"{settings.confidence:.0%} interval")
            _write_tables(partial / "tables", views, rows)
            _replace(out, partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return out / PAGE


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
            "env steps": int(run.env_steps[-1]) if len(run.env_steps) else 0,
            "of": run.total_env_steps,
            "unfinished": not run.finished,
            "score": run.last_score,
            "wall-clock": duration(float(run.wall_seconds[-1])) if len(run.env_steps) else "0 s",
            "device": run.device,
            "protocol": str(run.protocol),
        }
        for label, runs in groups.items()
        for run in runs
    ]


def _write_tables(folder: Path, views: Sequence[View], runs: list[dict[str, Any]]) -> None:
    tables = {"runs": runs}
    for view in views:
        tables[f"{view.name}-aggregates"] = view.table
        if view.improvement:
            tables[f"{view.name}-improvement"] = view.improvement
    for name, rows in tables.items():
        (folder / f"{name}.csv").write_text(to_csv(rows), encoding="utf-8")
        (folder / f"{name}.tex").write_text(to_latex(rows), encoding="utf-8")


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


def _replace(out: Path, partial: Path) -> None:
    """Move the finished folder into its place."""
    before = out.with_name(f"{REPLACED}{out.name}")
    if out.exists():
        shutil.rmtree(before, ignore_errors=True)
        out.rename(before)
    partial.rename(out)
    shutil.rmtree(before, ignore_errors=True)


def _is_page(path: Path) -> bool:
    """Say whether a file is a report's page, so that nobody's own folders are replaced."""
    try:
        return b"<title>surefoot report" in path.read_bytes()[:1000]
    except OSError:
        return False
