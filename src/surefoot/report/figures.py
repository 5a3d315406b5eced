"""Figures as PNG and PDF, drawn by Matplotlib in several processes."""

from __future__ import annotations

import json
import math
import pickle
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.errors import RunFailure
from surefoot.machine import usable_cores
from surefoot.processes import Ended, python_command, run_program
from surefoot.report import panels
from surefoot.report.diagnostics import Diagnostic
from surefoot.report.style import Style, matplotlib_style
from surefoot.report.view import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches of a panel among several, and of a line of a legend and of a caption; letters of a caption in an inch.
_COLUMN, _ROW, _LEGEND_ROW, _CAPTION_ROW, _LETTERS = 2.2, 1.75, 0.15, 0.12, 16

# With fewer views per process, starting it takes longer than it saves.
_MAX_PROCESSES, _MIN_VIEWS = 8, 6


def draw_all(folder: Path, views: Sequence[View], styles: Mapping[str, Style], interval: str) -> None:
    """Draw figures as ``draw`` does, in several processes if there are many.

    The processes run this module; `multiprocessing` would run the user's main script again.

    Raises:
        OSError: The folder cannot be written to.
        RunFailure: A process died.
    """
    count = max(1, min(usable_cores(), _MAX_PROCESSES, len(views) // _MIN_VIEWS))
    if count == 1:
        draw(folder, views, styles, interval)
        return
    parts = [pickle.dumps((folder.absolute(), views[start::count], styles, interval)) for start in range(count)]
    with ThreadPoolExecutor(count) as pool:
        for done in pool.map(_run, parts):
            if not done.exit_code:
                continue
            try:
                number, reason = json.loads(done.output)
            except ValueError:
                raise RunFailure(f"a process that draws figures died: {done.last_line or 'killed'}") from None
            raise OSError(number, reason)


def _run(part: bytes) -> Ended:
    return run_program(python_command(__name__), content=part)


def draw(folder: Path, views: Sequence[View], styles: Mapping[str, Style], interval: str) -> None:
    """Write the figures of some views.

    Args:
        folder: Existing folder.
        views: Views to draw.
        styles: Styles by label.
        interval: Name of the intervals, such as "95% stratified bootstrap intervals".
    """
    with matplotlib_style():
        for view in views:
            if view.lines:
                _draw_scores(folder, view, styles, interval)
            for kind, found in (("diagnostics", view.diagnostics), ("layers", view.layers)):
                if found:
                    _draw_diagnostics(folder / f"{view.name}-{kind}", view, found, styles)
            if view.parts:
                _draw_tasks(folder / f"{view.name}-tasks", view, styles, interval)


def _draw_scores(folder: Path, view: View, styles: Mapping[str, Style], interval: str) -> None:
    at_end = f"IQM, {interval}; {view.seed_counts(view.finals)}"

    def one(
        name: str, draw: Callable[[Axes], None], *, caption: str = at_end, legend: bool = True, height: float = 2.7
    ) -> None:
        figure = _figure((4.2, height))
        axes = figure.subplots()
        draw(axes)
        if legend:
            _legend(figure, [axes], 2)
        _save(folder / f"{view.name}-{name}", figure, f"{view.title}; {caption}")

    published = "; grey: published, their protocols differ" if view.published else ""
    caption = f"IQM, {interval}; {view.seed_counts(view.lines)}{published}"
    one("curves", partial(panels.curves, view=view, styles=styles), caption=caption)
    rows = 0.25 * len(view.finals)
    one("final", partial(panels.bars, view=view, styles=styles), legend=False, height=1.3 + rows)
    if view.families:
        one("utd", partial(panels.utd, view=view, styles=styles))
    seeds = view.seed_counts(view.profiles)
    if view.profiles:
        one("profile", partial(panels.profiles, view=view, styles=styles), caption=f"{interval}; {seeds}")
    if view.improvement:
        one("improvement", partial(panels.improvement, view=view), caption=seeds, legend=False, height=1.7 + rows)
    figure = _figure((6.0, 3.0))
    both = figure.subplots(1, 2, sharey=True)
    panels.wall_clock(both, view, styles)
    _legend(figure, both, 3)
    _save(folder / f"{view.name}-wall-clock", figure, f"{view.title}; {at_end}")


def _draw_tasks(stem: Path, view: View, styles: Mapping[str, Style], interval: str) -> None:
    """Write the learning curves of all tasks of a suite, side by side."""
    figure, grid = _grid(len(view.parts), 5, share_y=True)
    for axes, part in zip(grid, view.parts, strict=True):
        panels.curves(axes, replace(part, names=view.names, published=[]), styles, axis_labels=False)
        axes.set_title(panels.plain(part.title))
    _legend(figure, grid, 5)
    for axes in grid[-5:]:
        axes.set_xlabel("env steps")
    figure.supylabel("score, IQM", fontsize=8)
    _save(stem, figure, f"{view.title}; IQM, {interval}; {view.seed_counts(view.lines)}")


def _draw_diagnostics(stem: Path, view: View, found: Sequence[Diagnostic], styles: Mapping[str, Style]) -> None:
    figure, grid = _grid(len(found), 3, share_y=False)
    for axes, own in zip(grid, found, strict=True):
        panels.diagnostic(axes, own, view, styles)
    _legend(figure, grid, 3)
    seeds = view.seed_counts([line for own in found for line in own.lines])
    caption = f"{view.title}, over env steps; mean, shaded from the lowest to the highest seed; {seeds}"
    _save(stem, figure, caption)


def _grid(count: int, max_columns: int, share_y: bool) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels over the same env steps, which are printed below the last panel of each column."""
    columns = min(count, max_columns)
    rows = math.ceil(count / columns)
    figure = _figure((max(4.2, _COLUMN * columns), _ROW * rows + 0.4))
    every: list[Axes] = list(np.ravel(figure.subplots(rows, columns, sharex=True, sharey=share_y, squeeze=False)))
    for spare in every[count:]:
        spare.remove()
    for axes in every[max(0, count - columns) : count]:
        axes.tick_params(labelbottom=True)
    return figure, every[:count]


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _legend(figure: Figure, every: Sequence[Axes], columns: int) -> None:
    """Put one legend with each label once below all panels, and make the figure higher by its height."""
    named: dict[str, Any] = {}
    for axes in every:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        rows = math.ceil(len(named) / columns)
        lines = [name.count("\n") + 1 for name in named]
        figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * sum(max(lines[i::rows]) for i in range(rows)))
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns)


def _save(stem: Path, figure: Figure, caption: str) -> None:
    """Write both files, with the caption above the panels."""
    width, lines = int(_LETTERS * figure.get_figwidth()), [""]
    for part in caption.replace("$", r"\$").split("; "):
        longer = f"{lines[-1]}; {part}" if lines[-1] else part
        lines[-1:] = [longer] if len(longer) <= width else [*filter(None, lines[-1:]), *textwrap.wrap(part, width)]
    figure.set_figheight(figure.get_figheight() + _CAPTION_ROW * len(lines))
    figure.suptitle("\n".join(lines), fontsize=7, color="0.25")
    # Laid out once for both: with a layout engine, every file is drawn twice.
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)
    # Without a date, so that the same numbers give the same bytes.
    figure.savefig(f"{stem}.png", metadata={"Software": None})
    figure.savefig(f"{stem}.pdf", metadata={"CreationDate": None})


def main(_: Sequence[str]) -> int:
    """Draw the views that the parent process sends, and print the error number and reason of an OSError."""
    folder, views, styles, interval = pickle.load(sys.stdin.buffer)  # the file is the parent's own
    try:
        draw(folder, views, styles, interval)
    except OSError as error:
        print(json.dumps([error.errno, error.strerror]))
        return 1
    return 0
