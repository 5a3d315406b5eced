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
from surefoot.report.comparisons import improvement_matrix, thresholds
from surefoot.report.diagnostics import Diagnostic
from surefoot.report.published import CAVEAT
from surefoot.report.styles import Style
from surefoot.report.tables import to_html
from surefoot.report.views import View
from surefoot.report.wording import counted

_MOST_OPEN_ROWS = 30
"""A longer table is folded up."""

type Tables = Mapping[str, list[dict[str, Any]]]


def make_page(
    views: Sequence[View],
    diagnostics: Mapping[str, list[Diagnostic]],
    layers: Mapping[str, list[Diagnostic]],
    styles: Mapping[str, Style],
    tables: Tables,
    notes: Sequence[str],
    interval: str,
) -> str:
    """Return the page.

    Args:
        views: suites and tasks.
        diagnostics: quantities by view.
        layers: the same layer by layer.
        styles: of the labels.
        tables: rows by name, ``runs`` among them.
        notes: what a reader must know.
        interval: of the statistics, for a person.
    """
    data = {
        "interval": interval,
        "caveat": CAVEAT,
        "thresholds": thresholds(),
        "styles": {label: vars(style) for label, style in styles.items()},
        "views": [_view_data(view, diagnostics.get(view.name, []), layers.get(view.name, [])) for view in views],
    }
    tasks = sum(len(view.tasks) == 1 for view in views)
    return _fill(
        "page.html",
        title=f"{counted(len(tables['runs']), 'run')}, {counted(len(styles), 'algorithm')}, {counted(tasks, 'task')}",
        css=_text("page.css"),
        plotly=_plotly(),
        js=_text("page.js"),
        # A script element ends at "</", and "<!--<script" would keep it open: no "<" stays as it is.
        data=json.dumps(_plain(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        notes=_notes(tables["runs"], notes),
        views=_choices((str(i), view.title) for i, view in enumerate(views)),
        tables="".join(_tables(view, tables) for view in views),
        runs=_folded(f"All {counted(len(tables['runs']), 'run')}", tables["runs"]),
        interval=html.escape(interval),
    )


def _notes(runs: Sequence[dict[str, Any]], notes: Sequence[str]) -> str:
    """Return what to know before reading, the unfinished first."""
    states = [row["state"] for row in runs]
    summary = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    if not notes:
        return f"<p>Runs: {html.escape(summary)}.</p>"
    lines = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    shown = "open" if len(notes) <= _MOST_OPEN_ROWS // 3 else ""
    head = f"Runs: {summary}. {counted(len(notes), 'remark')} to know before reading"
    return f"<details class='notes' {shown}><summary>{html.escape(head)}</summary><ul>{lines}</ul></details>"


def _tables(view: View, tables: Tables) -> str:
    by_task = tables.get(f"{view.name}-by-task", [])
    parts = [
        "<h3>Aggregates</h3>" if len(view.tasks) > 1 else "",
        to_html(view.table),
        f"<h3>IQM by task</h3>{to_html(by_task)}" if by_task else "",
        _folded("Probability of improvement, pair by pair", view.improvement) if view.improvement else "",
    ]
    return f"<div data-view='{html.escape(view.name)}' hidden>{''.join(parts)}</div>"


def _folded(title: str, rows: Sequence[dict[str, Any]]) -> str:
    shown = "open" if len(rows) <= _MOST_OPEN_ROWS else ""
    return f"<details {shown}><summary>{html.escape(title)}</summary>{to_html(rows)}</details>"


def _view_data(view: View, diagnostics: Sequence[Diagnostic], layers: Sequence[Diagnostic]) -> dict[str, Any]:
    labels, matrix = improvement_matrix(view.improvement)
    return {
        "name": view.name,
        "title": view.title,
        "suite": len(view.tasks) > 1,
        "lines": [
            {**vars(line), "curves": {key: _band(own) for key, own in line.curves.items()}} for line in view.lines
        ],
        "published": [vars(curve) for curve in view.published],
        "finals": [{**vars(final), "score": vars(final.score)} for final in view.finals],
        "utd": view.utd_matters,
        "profiles": [{"label": label, **_band(found)} for label, found in view.profiles.items()],
        "compared": view.improvement[0]["env steps"] if view.improvement else None,
        "improvement": {"labels": labels, "matrix": matrix.tolist()},
        **{
            key: [{**vars(own), "lines": [vars(line) for line in own.lines]} for own in panels]
            for key, panels in (("diagnostics", diagnostics), ("layers", layers))
        },
    }


def _band(found: Any) -> dict[str, np.ndarray]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _plain(value: Any) -> Any:
    """Return JSON values of arrays and numbers, six digits, null where one is not finite."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
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
