"""One self-contained HTML page: data, styles, scripts and the plotting library inside."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from surefoot.errors import MissingDependency
from surefoot.report.diagnostics import LOGARITHMIC, QUANTITIES, DiagnosticView
from surefoot.report.published import CAVEAT
from surefoot.report.runs import ReportRun
from surefoot.report.styles import Style
from surefoot.report.tables import to_html
from surefoot.report.views import Line, View, comparable, thresholds


def make_page(
    views: Sequence[View],
    diagnostics: Sequence[DiagnosticView],
    groups: Mapping[str, list[ReportRun]],
    styles: Mapping[str, Style],
    runs_table: Sequence[dict[str, Any]],
    interval: str,
) -> str:
    """Return the page.

    Args:
        views: suites and tasks.
        diagnostics: quantities by task.
        groups: all runs by label.
        styles: of the labels.
        runs_table: a row for each run.
        interval: of the statistics, for a person.
    """
    data = {
        "interval": interval,
        "caveat": CAVEAT,
        "thresholds": thresholds(),
        "styles": {label: vars(style) for label, style in styles.items()},
        "views": [_view_data(view) for view in views],
        "diagnostics": [
            {**vars(view), "logarithmic": view.column in LOGARITHMIC, "lines": [vars(line) for line in view.lines]}
            for view in diagnostics
        ],
        "clock": [_clock_data(label, runs) for label, runs in comparable(groups).items()],
    }
    return _fill(
        "page.html",
        title=f"{len(runs_table)} run{'' if len(runs_table) == 1 else 's'}, {len(groups)} algorithms",
        css=_text("page.css"),
        plotly=_plotly(),
        js=_text("page.js"),
        # A script element ends at "</", and "<!--<script" would keep it open: no "<" stays as it is.
        data=json.dumps(_plain(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        views=_choices((str(i), view.title) for i, view in enumerate(views)),
        quantities=_choices(
            (column, title) for column, title in QUANTITIES.items() if any(v.column == column for v in diagnostics)
        ),
        diagnostic_tasks=_choices((task, task) for task in dict.fromkeys(view.task for view in diagnostics)),
        diagnostics_hidden="" if diagnostics else "hidden",
        tables="".join(_tables(view) for view in views),
        runs=to_html(runs_table),
    )


def _tables(view: View) -> str:
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in view.notes)
    improvement = f"<h3>Probability of improvement</h3>{to_html(view.improvement)}" if view.improvement else ""
    told = f"<div class='notes'><ul>{notes}</ul></div>" if notes else ""
    return f"<div data-view='{html.escape(view.name)}' hidden>{to_html(view.table)}{told}{improvement}</div>"


def _view_data(view: View) -> dict[str, Any]:
    bars = [
        {"label": row["algorithm"], "value": number.value, "low": number.low, "high": number.high}
        for row in view.table
        if not math.isnan((number := row["IQM"]).value)
    ]
    return {
        "name": view.name,
        "title": view.title,
        "lines": [_line_data(line) for line in view.lines],
        "published": [vars(curve) for curve in view.published],
        "bars": bars,
        "profiles": [{"label": label, "seeds": "", **vars(found)} for label, found in view.profiles.items()],
    }


def _line_data(line: Line) -> dict[str, Any]:
    return vars(line)


def _clock_data(label: str, runs: Sequence[ReportRun]) -> dict[str, Any]:
    shown = [run for run in runs if len(run.env_steps)]
    return {
        "label": label,
        "run": [f"{run.task}, {run.path.name}" for run in shown],
        "minutes": [run.wall_seconds[-1] / 60 for run in shown],
        "score": [run.last_score for run in shown],
        "speed": [run.env_steps_per_second for run in shown],
    }


def _plain(value: Any) -> Any:
    """Return JSON values of arrays and numbers, six digits, null where one is not finite."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _choices(entries: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<option value='{html.escape(value)}'>{html.escape(text)}</option>" for value, text in entries)


def _fill(name: str, **parts: str) -> str:
    """Put the parts into the template's marks, in one pass, so that no part is read for marks itself."""
    pieces = _text(name).split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _text(name: str) -> str:
    return (resources.files("surefoot.report") / name).read_text(encoding="utf-8")


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingDependency("plotly", "report", "a report") from error
    return str(get_plotlyjs())
