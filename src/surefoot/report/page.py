"""A report's page: one self-contained HTML file with data, styles, scripts and the plotting library."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from surefoot.report.diagnostics import Diagnostic
from surefoot.report.published import CAVEAT
from surefoot.report.statistics import Estimate
from surefoot.report.style import Style
from surefoot.report.tables import Row, counted, to_html
from surefoot.report.view import View
from surefoot.report.views import THRESHOLDS, improvement_matrix

# Longer tables and lists of remarks are collapsed.
_MAX_OPEN_ROWS, _MAX_OPEN_NOTES = 30, 10


def make_page(
    views: Sequence[View],
    styles: Mapping[str, Style],
    tables: Mapping[str, Sequence[Row]],
    notes: Sequence[str],
    interval: str,
    resamples: int,
) -> str:
    """Return the page as HTML.

    Args:
        views: Suites and tasks.
        styles: Styles by label.
        tables: Rows of the tables "runs" and "settings".
        notes: Remarks.
        interval: Description of the intervals.
        resamples: Number of their resamples.
    """
    from plotly.offline import get_plotlyjs

    data = {
        "interval": interval,
        "caveat": CAVEAT,
        "thresholds": THRESHOLDS,
        "styles": {label: vars(style) for label, style in styles.items()},
        "views": [_view_data(view) for view in views],
    }
    tasks = sum(not view.parts for view in views)
    runs = tables["runs"]
    default = max(views, key=lambda view: (bool(view.parts), view.num_runs))
    options = (
        f"<option value='{i}'{' selected' if view is default else ''}>{html.escape(view.title)}</option>"
        for i, view in enumerate(views)
    )
    return _fill(
        "page.html",
        title=f"{counted(len(runs), 'run')}, {counted(len(styles), 'algorithm')}, {counted(tasks, 'task')}",
        css=_text("page.css"),
        plotly=str(get_plotlyjs()),
        js=_text("page.js"),
        # A script element ends at "</", and "<!--<script" would keep it open: every "<" is escaped.
        data=json.dumps(_plain(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        notes=_notes(runs, notes),
        views="".join(options),
        tables="".join(map(_tables, views)),
        runs=_collapsible(f"All {counted(len(runs), 'run')}", runs),
        settings=_settings(f"Settings of {counted(len(styles), 'algorithm')}", tables["settings"]),
        interval=html.escape(interval),
        resamples=str(resamples),
    )


def _notes(runs: Sequence[Row], notes: Sequence[str]) -> str:
    """Return the states of the runs and the remarks."""
    states = [row["state"] for row in runs]
    summary = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    if not notes:
        return f"<p>Runs: {html.escape(summary)}.</p>"
    lines = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    shown = "open" if len(notes) <= _MAX_OPEN_NOTES else ""
    head = f"Runs: {summary}. {counted(len(notes), 'remark')} to know before reading"
    return f"<details class='notes' {shown}><summary>{html.escape(head)}</summary><ul>{lines}</ul></details>"


def _tables(view: View) -> str:
    parts = [
        "<h3>Aggregates</h3>" if view.parts else "",
        to_html(view.table),
        f"<h3>IQM by task</h3>{to_html(view.by_task)}" if view.parts else "",
        _collapsible("Probability of improvement, pair by pair", view.improvement) if view.improvement else "",
        _settings("Settings", view.settings),
    ]
    return f"<div data-view='{html.escape(view.name)}' hidden>{''.join(parts)}</div>"


def _settings(title: str, rows: Sequence[Row]) -> str:
    """Return the settings that differ as a table, and the others as text."""
    values = [(row["setting"], list(row.values())[1:]) for row in rows]
    differing = [row for row, (_, own) in zip(rows, values, strict=True) if len(set(own)) > 1]
    others = html.escape("; ".join(f"{name}: {own[0]}" for name, own in values if len(set(own)) == 1))
    table = to_html(differing) if differing else ""
    note = f"<p class='caption'>All algorithms: {others}.</p>" if others else ""
    return f"<details class='settings'><summary>{html.escape(title)}</summary>{table}{note}</details>"


def _collapsible(title: str, rows: Sequence[Row]) -> str:
    shown = "open" if len(rows) <= _MAX_OPEN_ROWS else ""
    return f"<details {shown}><summary>{html.escape(title)}</summary>{to_html(rows)}</details>"


def _view_data(view: View) -> dict[str, Any]:
    labels, matrix = improvement_matrix(view.improvement)
    return {
        "name": view.name,
        "title": view.title,
        "names": {label: vars(curve) for label, curve in view.names.items()},
        "suite": bool(view.parts),
        "lines": [
            {**vars(line), "curves": {key: _band(own) for key, own in line.curves.items()}} for line in view.lines
        ],
        "published": [vars(curve) for curve in view.published],
        "finals": [{**vars(final), "score": vars(final.score)} for final in view.finals],
        "families": view.families,
        "profiles": [{"label": profile.label, **_band(profile.fractions)} for profile in view.profiles],
        "compared": view.profiles[0].env_steps if view.profiles else None,
        "improvement": {"labels": labels, "matrix": matrix},
        "diagnostics": [_diagnostic_data(own) for own in view.diagnostics],
        "seeds": {
            "curves": view.seed_counts(view.lines),
            "finals": view.seed_counts(view.finals),
            "compared": view.seed_counts(view.profiles),
            "diagnostics": view.seed_counts([line for own in view.diagnostics for line in own.lines]),
        },
        "layers": [_diagnostic_data(own) for own in view.layers],
    }


def _diagnostic_data(own: Diagnostic) -> dict[str, Any]:
    return {**vars(own), "lines": [vars(line) for line in own.lines]}


def _band(found: Estimate) -> dict[str, np.ndarray]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _plain(value: Any) -> Any:
    """Return arrays and numbers as JSON values of six digits, null where one is not finite."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _fill(name: str, **parts: str) -> str:
    """Replace the template's marks in one pass, so that marks inside the parts are left alone."""
    pieces = _text(name).split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _text(name: str) -> str:
    return (resources.files("surefoot.report") / name).read_text(encoding="utf-8")
