"""Every figure for a paper: PNG and PDF, by Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.report import panels
from surefoot.report.diagnostics import Diagnostic, DiagnosticLine
from surefoot.report.fonts import small_font
from surefoot.report.styles import Style
from surefoot.report.views import Line, View
from surefoot.report.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SETTINGS: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text, as publishers ask
    "savefig.dpi": 200,
}
_IN_BRACKETS = ", in brackets"
_COLUMN, _ROW, _LEGEND_ROW = 2.2, 1.75, 0.15
"""Inches of a panel among others, and of a line of a legend."""


@dataclass(frozen=True)
class Job:
    """All figures of one view.

    Attributes:
        view: of which.
        diagnostics: its quantities.
        layers: the same layer by layer.
        tasks: the views of a suite's tasks; none for a task.
    """

    view: View
    diagnostics: list[Diagnostic]
    layers: list[Diagnostic]
    tasks: list[View]


def make_jobs(
    views: Sequence[View], diagnostics: Mapping[str, list[Diagnostic]], layers: Mapping[str, list[Diagnostic]]
) -> list[Job]:
    """Return what is to be drawn, view by view."""
    tasks = {view.tasks[0]: view for view in views if len(view.tasks) == 1}
    return [
        Job(
            view,
            diagnostics.get(view.name, []),
            layers.get(view.name, []),
            [tasks[task] for task in view.tasks] if len(view.tasks) > 1 else [],
        )
        for view in views
    ]


def draw(folder: Path, jobs: Sequence[Job], styles: Mapping[str, Style], interval: str) -> None:
    """Write figures into a folder that is there.

    Args:
        folder: where.
        jobs: which.
        styles: of the labels.
        interval: of the statistics, for a person.
    """
    import matplotlib

    with small_font() as families, matplotlib.rc_context({**_SETTINGS, "font.family": families}):
        for job in jobs:
            name = job.view.name
            if job.view.lines:
                _draw_view(folder, job.view, styles, interval)
            for kind, found in (("diagnostics", job.diagnostics), ("layers", job.layers)):
                if found:
                    _save(folder / f"{name}-{kind}", *_diagnostics(job.view, found, styles))
            if job.tasks:
                _save(folder / f"{name}-tasks", *_task_curves(job.view, job.tasks, styles, interval))


type _Drawn = tuple[Figure, str]
"""A figure and what stands below it."""


def _draw_view(folder: Path, view: View, styles: Mapping[str, Style], interval: str) -> None:
    seeds = _Seeds.of(view.lines, view)

    def one(name: str, draw: Callable[[Axes], None], *, told: str, legend: int = 2, height: float = 2.7) -> None:
        figure = _figure((4.2, height))
        axes = figure.subplots()
        draw(axes)
        axes.set_title(panels.plain(view.title))
        if legend:
            _legend(figure, [axes], legend, seeds)
        else:  # labels stand at the vertical axis
            axes.set_yticks(axes.get_yticks(), [seeds.named(tick.get_text()) for tick in axes.get_yticklabels()])
        _save(folder / f"{view.name}-{name}", figure, told)

    told = f"{seeds.told}; {interval}"
    published = "\ngrey: published, their protocols differ" if view.published else ""
    one("curves", partial(panels.curves, view=view, styles=styles), told=f"{told}{published}")
    rows = 0.25 * len(view.finals)
    one("final", partial(panels.bars, view=view, styles=styles), told=told, legend=0, height=1.3 + rows)
    if view.utd_matters:
        # Its lines are of algorithms at all their UTDs, which have no single number.
        one("utd", partial(panels.utd, view=view, styles=styles), told=told.replace(_IN_BRACKETS, ""))
    if view.profiles:
        one("profile", partial(panels.profiles, view=view, styles=styles), told=told)
    if view.improvement:
        one("improvement", partial(panels.improvement, view=view), told=told, legend=0, height=1.7 + rows)
    figure = _figure((6.0, 3.0))
    both = figure.subplots(1, 2, sharey=True)
    panels.clock(both, view, styles)
    _legend(figure, both, 2, seeds)
    _save(folder / f"{view.name}-wall-clock", figure, f"{panels.plain(view.title)}; {told}")


def _task_curves(view: View, tasks: Sequence[View], styles: Mapping[str, Style], interval: str) -> _Drawn:
    """Return the curves of every task of a suite, side by side."""
    figure, grid = _grid(len(tasks), 5, share_y=True)
    shown = {line.label for line in view.lines}
    for axes, task in zip(grid, tasks, strict=True):
        panels.curves(axes, task, styles, published=False, labels=shown, named=False)
        axes.set_title(panels.plain(task.title))
    seeds = _Seeds.of(view.lines, view)
    _legend(figure, grid, 5, seeds)
    for axes in grid[-5:]:
        axes.set_xlabel("env steps")
    figure.supylabel("score, IQM", fontsize=8)
    return figure, f"{panels.plain(view.title)}; {seeds.told}; {interval}"


def _diagnostics(view: View, found: Sequence[Diagnostic], styles: Mapping[str, Style]) -> _Drawn:
    figure, grid = _grid(len(found), 3, share_y=False)
    for axes, own in zip(grid, found, strict=True):
        panels.diagnostic(axes, own, styles)
    seeds = _Seeds.of([line for own in found for line in own.lines], view)
    _legend(figure, grid, 3, seeds)
    told = f"{seeds.told}; mean, shaded from the lowest to the highest seed"
    return figure, f"{panels.plain(view.title)}, over env steps; {told}"


@dataclass(frozen=True)
class _Seeds:
    """How many seeds there are: told once where all labels have as many, else in brackets behind each label."""

    told: str
    brackets: Mapping[str, str]

    @classmethod
    def of(cls, lines: Sequence[Line | DiagnosticLine], view: View) -> _Seeds:
        seeds = {panels.plain(line.label): line.seeds for line in lines}
        where = " per task" if len(view.tasks) > 1 else ""
        if len(set(seeds.values())) == 1:
            return cls(f"{counted(next(iter(seeds.values())), 'seed')}{where}", {})
        numbers = [int(number) for text in seeds.values() for number in text.split(" to ")]
        told = f"{min(numbers)} to {max(numbers)} seeds{where}{_IN_BRACKETS}"
        return cls(told, {label: f"{label} ({count})" for label, count in seeds.items()})

    def named(self, label: str) -> str:
        return self.brackets.get(label, label)


def _grid(count: int, most: int, share_y: bool) -> tuple[Figure, list[Axes]]:
    """Return a figure with that many panels over the same env steps, which stand below the last one of each column."""
    columns = min(count, most)
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


def _legend(figure: Figure, every: Sequence[Axes], columns: int, seeds: _Seeds) -> None:
    """Put one legend below all panels, each label once, and make the figure higher by as much as it takes."""
    named: dict[str, Any] = {}
    for axes in every:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(seeds.named(label), handle)
    if named:
        rows = math.ceil(len(named) / columns)
        lines = [name.count("\n") + 1 for name in named]
        figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * sum(max(lines[i::rows]) for i in range(rows)))
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns)


def _save(stem: Path, figure: Figure, told: str) -> None:
    """Write both files, with what a reader must know: above several panels, below a single one."""
    if len(figure.axes) > 1:
        figure.suptitle(told, fontsize=7, color="0.25", wrap=True)
    else:
        axes = figure.axes[0]
        axes.set_xlabel(f"{axes.get_xlabel()}\n{told}")
    # Laid out once for both: with a layout engine, every file is drawn twice.
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)
    for ending in ("png", "pdf"):
        # No date inside: the same numbers give the same bytes.
        figure.savefig(f"{stem}.{ending}", metadata={"CreationDate": None} if ending == "pdf" else {"Software": None})
