"""Every figure for a paper: PNG and PDF, by Matplotlib."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surefoot.report.diagnostics import LOGARITHMIC, DiagnosticView
from surefoot.report.published import CAVEAT
from surefoot.report.runs import ReportRun
from surefoot.report.styles import Style
from surefoot.report.views import Line, Number, View, comparable, thresholds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SETTINGS: dict[Any, Any] = {
    "figure.figsize": (4.2, 3.1),
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text, as publishers ask
    "savefig.dpi": 200,
}
_MOST_MARKERS = 12
_WIDEST_LABEL = 34
"""Letters in a line of a label; what two runs differ in may be long."""
_PUBLISHED_DASHES: tuple[Any, ...] = ("--", ":", "-.", (0, (6, 2)), (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)))


def draw_all(
    folder: Path,
    views: Sequence[View],
    diagnostics: Sequence[DiagnosticView],
    groups: Mapping[str, list[ReportRun]],
    styles: Mapping[str, Style],
    interval: str,
) -> None:
    """Write every figure into a folder that is there.

    Args:
        folder: where.
        views: learning curves, final scores and profiles.
        diagnostics: the rest.
        groups: all runs by label.
        styles: of the labels.
        interval: of the statistics, for a person.
    """
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        for view in views:
            _save(folder / f"{view.name}-curves", partial(_curves, view=view, styles=styles, interval=interval))
            _save(folder / f"{view.name}-final", partial(_bars, view=view, styles=styles, interval=interval))
            if view.profiles:
                _save(folder / f"{view.name}-profile", partial(_profiles, view=view, styles=styles, interval=interval))
        for own in diagnostics:
            _save(folder / f"diagnostics-{own.name}", partial(_diagnostic, view=own, styles=styles))
        for name, what in (("wall-clock", "minutes"), ("throughput", "speed")):
            _save(folder / name, partial(_points, groups=groups, styles=styles, what=what))


def _save(stem: Path, draw: Callable[[Axes], None]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    # The legend stands below, and takes nothing of the axes' height.
    labels = axes.get_legend_handles_labels()[1]
    lines = sum(max(label.count("\n") + 1 for label in labels[i : i + 2]) for i in range(0, len(labels), 2))
    figure.set_figheight(figure.get_figheight() + 0.17 * lines)
    for ending in ("png", "pdf"):
        # No date inside: the same numbers give the same bytes.
        figure.savefig(f"{stem}.{ending}", metadata={"CreationDate": None} if ending == "pdf" else {"Software": None})


def _curves(axes: Axes, view: View, styles: Mapping[str, Style], interval: str) -> None:
    for line in view.lines:
        _line(axes, line, styles[line.label], f"{_plain(line.label)} ({_seeds(line.seeds)})")
    furthest = max((int(line.env_steps[-1]) for line in view.lines if len(line.env_steps)), default=0)
    for index, curve in enumerate(view.published):
        points = [(x, y) for x, y in zip(curve.env_steps, curve.score, strict=True) if x <= furthest]
        if len(points) > 1:
            dashes = _PUBLISHED_DASHES[index % len(_PUBLISHED_DASHES)]
            label = _plain(curve.label)
            axes.plot(*zip(*points, strict=True), color="0.55", linewidth=0.8, linestyle=dashes, label=label)
    _finish(axes, view.title, "env steps", f"score, IQM, {interval}", bool(view.published))


def _line(axes: Axes, line: Line | Any, style: Style, label: str) -> None:
    every = max(1, math.ceil(len(line.env_steps) / _MOST_MARKERS))
    axes.plot(line.env_steps, line.value, label=label, linewidth=1.4, markersize=3, markevery=every, **style.matplotlib)
    axes.fill_between(line.env_steps, line.low, line.high, color=style.colour, alpha=0.15, linewidth=0)


def _bars(axes: Axes, view: View, styles: Mapping[str, Style], interval: str) -> None:
    for position, row in enumerate(reversed(view.table)):
        number, label = row["IQM"], row["algorithm"]
        assert isinstance(number, Number)
        if math.isnan(number.value):
            continue
        sides = [[max(0.0, number.value - number.low)], [max(0.0, number.high - number.value)]]
        axes.barh(position, number.value, xerr=sides, color=styles[label].colour, alpha=0.85, capsize=3, height=0.6)
    labels = [f"{_plain(row['algorithm'])} ({_seeds(row['seeds'])})" for row in reversed(view.table)]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_title(f"{_plain(view.title)}, last common evaluation", fontsize=9)
    axes.set_xlabel(f"score, IQM, {interval}")
    axes.grid(axis="y", visible=False)


def _profiles(axes: Axes, view: View, styles: Mapping[str, Style], interval: str) -> None:
    seeds = {row["algorithm"]: row["seeds"] for row in view.table}
    for label, found in view.profiles.items():
        style = styles[label]
        axes.plot(
            thresholds(),
            found.value,
            label=f"{_plain(label)} ({_seeds(seeds[label])})",
            color=style.colour,
            linestyle=style.matplotlib["linestyle"],
        )
        axes.fill_between(thresholds(), found.low, found.high, color=style.colour, alpha=0.15, linewidth=0)
    _finish(axes, view.title, "score", f"share of runs above it, {interval}")


def _diagnostic(axes: Axes, view: DiagnosticView, styles: Mapping[str, Style]) -> None:
    for line in view.lines:
        _line(axes, line, styles[line.label], f"{_plain(line.label)} ({_seeds(line.seeds)})")
    if view.column in LOGARITHMIC and all((line.low > 0).all() for line in view.lines):
        axes.set_yscale("log")
    _finish(axes, view.task, "env steps", f"{view.title}; mean, min to max")


def _points(axes: Axes, groups: Mapping[str, list[ReportRun]], styles: Mapping[str, Style], what: str) -> None:
    """Draw one point for each run: its score over its wall-clock, or over its speed."""
    for label, runs in comparable(groups).items():
        points = [
            (run.wall_seconds[-1] / 60 if what == "minutes" else run.env_steps_per_second, run.last_score)
            for run in runs
            if len(run.env_steps)
        ]
        style = styles[label].matplotlib | {"linestyle": ""}
        if points:
            axes.plot(*zip(*points, strict=True), label=_plain(label), markersize=5, **style)
    x = "wall-clock, minutes" if what == "minutes" else "env steps/s, all seeds of a run"
    _finish(axes, "each run at its last evaluation", x, "score, mean over its seeds")


def _finish(axes: Axes, title: str, x: str, y: str, published: bool = False) -> None:
    axes.set_title(_plain(title), fontsize=9)
    axes.set_xlabel(f"{x}\n({CAVEAT})" if published else x, fontsize=8 if not published else 6)
    axes.set_ylabel(y, fontsize=8)
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=2)


def _seeds(count: str) -> str:
    return f"{count} seed" if count == "1" else f"{count} seeds"


def _plain(label: str) -> str:
    """Return a text that Matplotlib does not take for mathematics."""
    return "\n".join(textwrap.wrap(label.replace("$", r"\$"), _WIDEST_LABEL))
