"""Contents of single Matplotlib axes."""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.report.diagnostics import Diagnostic, DiagnosticLine
from surefoot.report.statistics import Estimate
from surefoot.report.style import Style
from surefoot.report.view import Final, View
from surefoot.report.views import THRESHOLDS, improvement_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_MARKERS = 8
# Letters in a line of a label, and of a small panel's title.
_LABEL_WIDTH, _TITLE_WIDTH = 34, 32
_PUBLISHED_DASHES: tuple[Any, ...] = ("--", ":", "-.", (0, (6, 2)), (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)))


def plain(label: str) -> str:
    """Return a text wrapped to short lines, with the marks of Matplotlib's mathematics escaped."""
    return "\n".join(textwrap.wrap(label.replace("$", r"\$"), _LABEL_WIDTH))


def curves(
    axes: Axes,
    view: View,
    styles: Mapping[str, Style],
    *,
    axis_labels: bool = True,
) -> None:
    """Draw learning curves with their intervals.

    Args:
        axes: Axes to draw on.
        view: View with the curves; those without a name are left out.
        styles: Styles by label.
        axis_labels: Whether to label the axes.
    """
    lines = [line for line in view.lines if line.label in view.names]
    with _autoscaled_once(axes):
        for line in lines:
            _line(axes, view, styles, line.label, line.env_steps, line.curves["IQM"])
    furthest = max((int(line.env_steps[-1]) for line in lines), default=0)
    for index, curve in enumerate(view.published):
        points = [(x, y) for x, y in zip(curve.env_steps, curve.score, strict=True) if x <= furthest]
        if len(points) > 1:
            dashes = _PUBLISHED_DASHES[index % len(_PUBLISHED_DASHES)]
            axes.plot(
                *zip(*points, strict=True), color="0.55", linewidth=0.7, linestyle=dashes, label=plain(curve.label)
            )
    if axis_labels:
        axes.set_xlabel("env steps")
        axes.set_ylabel("score, IQM")
    _format_env_steps(axes)


@contextlib.contextmanager
def _autoscaled_once(axes: Axes) -> Iterator[None]:
    """Compute the limits once instead of for every line, which takes a fifth of the time of many small panels."""
    axes.set_autoscale_on(False)
    yield
    axes.set_autoscale_on(True)
    axes.autoscale_view()


def _line(
    axes: Axes,
    view: View,
    styles: Mapping[str, Style],
    label: str,
    x: np.ndarray,
    found: Estimate | DiagnosticLine,
) -> None:
    style, name = styles[label], plain(view.names[label].label)
    every = max(1, math.ceil(len(x) / _MAX_MARKERS))
    axes.plot(x, found.value, label=name, linewidth=1.2, markersize=3.5, markevery=every, **style.matplotlib)
    # Paler where there are many, which would hide the curves.
    alpha = min(0.15, 1.0 / len(view.names))
    axes.fill_between(x, found.low, found.high, color=style.colour, alpha=alpha, linewidth=0)


def _format_env_steps(axes: Axes) -> None:
    """Print env steps as 500k and 1M."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def bars(axes: Axes, view: View, styles: Mapping[str, Style]) -> None:
    """Draw final scores with their intervals, the first label on top."""
    finals = view.finals[::-1]
    for y, final in enumerate(finals):
        score, colour = final.score.value, styles[final.label].colour
        if not math.isnan(score):
            axes.barh(y, score, xerr=_errors([final]), color=colour, alpha=0.85, capsize=2, height=0.6)
    axes.set_yticks(range(len(finals)), [plain(view.names[final.label].label) for final in finals])
    axes.set_xlabel("score, IQM, at the last common evaluation")
    axes.grid(axis="y", visible=False)


def _errors(finals: Sequence[Final]) -> list[list[float]]:
    """Return the lengths of intervals below and above the values."""
    ends = [(f.score.value, f.score.low, f.score.high) for f in finals]
    return [
        [0.0 if low is None else max(0.0, value - low) for value, low, _ in ends],
        [0.0 if high is None else max(0.0, high - value) for value, _, high in ends],
    ]


def utd(axes: Axes, view: View, styles: Mapping[str, Style]) -> None:
    """Draw final scores over UTD, a line for each algorithm that was run with several."""
    from matplotlib.ticker import NullLocator

    several = [final for final in view.finals if view.names[final.label].family in view.families]
    for family in view.families:
        members = (final for final in several if view.names[final.label].family == family)
        own = sorted(members, key=lambda final: final.utd)
        style = styles[own[0].label].matplotlib
        x, y = [final.utd for final in own], [final.score.value for final in own]
        axes.errorbar(x, y, yerr=_errors(own), label=plain(family), linewidth=1.2, markersize=4, capsize=2, **style)
    ticks = sorted({final.utd for final in several})
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("updates per agent step (UTD)")
    axes.set_ylabel("score, IQM, last common evaluation")


def profiles(axes: Axes, view: View, styles: Mapping[str, Style]) -> None:
    """Draw the fraction of runs above each score."""
    for profile in view.profiles:
        _line(axes, view, styles, profile.label, THRESHOLDS, profile.fractions)
    axes.set_xlabel("score")
    axes.set_ylabel("fraction of runs above it")


def improvement(axes: Axes, view: View) -> None:
    """Draw the probability that the row's algorithm scores more than the column's."""
    from matplotlib.colors import LinearSegmentedColormap

    labels, matrix = improvement_matrix(view.improvement)
    colours = LinearSegmentedColormap.from_list("improvement", ["#D55E00", "#FFFFFF", "#0072B2"])
    axes.imshow(matrix[:, :, 0], cmap=colours, vmin=0.0, vmax=1.0, aspect="auto")
    for i, j in np.argwhere(~np.isnan(matrix[:, :, 0])).tolist():
        value = matrix[i, j, 0]
        ink = "white" if abs(value - 0.5) > 0.35 else "black"
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
    names = [plain(label) for label in labels]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("P(row > column)")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def wall_clock(both: Sequence[Axes], view: View, styles: Mapping[str, Style]) -> None:
    """Draw final scores over wall-clock, and over throughput."""
    for final in view.finals:
        style = styles[final.label].matplotlib | {"linestyle": ""}
        name = plain(view.names[final.label].label)
        for axes, x in zip(both, (final.wall_seconds / 60.0, final.env_steps_per_second), strict=True):
            y, error = final.score.value, _errors([final])
            axes.errorbar([x], [y], yerr=error, label=name, markersize=5, capsize=2, **style)
    for axes, label in zip(both, ("wall-clock of a run, minutes", "env steps per second"), strict=True):
        axes.set_xlim(left=0.0)
        axes.set_xlabel(label)
    both[0].set_ylabel("score, IQM")


def diagnostic(axes: Axes, own: Diagnostic, view: View, styles: Mapping[str, Style]) -> None:
    """Draw one quantity."""
    with _autoscaled_once(axes):
        for line in own.lines:
            _line(axes, view, styles, line.label, line.env_steps, line)
    if own.logarithmic:
        from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

        axes.set_yscale("log")
        # Powers of ten are too few below a decade; plain numbers are drawn much faster than 10^-3.
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=5))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(textwrap.fill(own.title, _TITLE_WIDTH))
    _format_env_steps(axes)
