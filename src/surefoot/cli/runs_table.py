"""Text table of runs that drops its least important columns to fit the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from surefoot.cli.display import path_text
from surefoot.runs.progress import RunProgress, RunState
from surefoot.training.progress_text import duration_text

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=+*%#"

_GAP = 2
_CURVE_WIDTH, _MIN_CURVE_WIDTH = 24, 8
_MIN_RUN_WIDTH = 16
_DROPPED = ("updates/s", "env steps/s", "seeds", "algorithm", "run", "task", "min..max", "time")
"""Columns that a narrow terminal drops, in this order; "run" only becomes narrower."""
_RIGHT_ALIGNED = frozenset({"seeds", "env steps", "score", "env steps/s", "updates/s", "time"})


@dataclass(frozen=True)
class Table:
    """Table whose cells are padded to their columns' widths.

    Attributes:
        columns: Names of the columns.
        header: Padded names of the columns.
        rows: Padded cells of each run, in order.
    """

    columns: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def make_table(runs: Sequence[RunProgress], width: int | None, blocks: str = BLOCKS) -> Table:
    """Return the table of runs.

    Args:
        runs: Runs, one row each.
        width: Characters per line; None drops and shortens nothing.
        blocks: Characters of a sparkline, from low to high.
    """
    cells = [_cells(run) for run in runs]
    names = list(cells[0]) if cells else ["run"]
    widths = {name: max(map(len, (name, *(row[name] for row in cells)))) for name in names if name != "curve"}
    widths["curve"] = min(_CURVE_WIDTH, max((len("curve"), *(len(run.evaluations) for run in runs))))
    if width is not None:
        _narrow(names, widths, width)
    for row, run in zip(cells, runs, strict=True):
        row["curve"] = sparkline([evaluation.score for evaluation in run.evaluations], widths["curve"], blocks)

    def padded(row: dict[str, str]) -> tuple[str, ...]:
        return tuple(_pad(_cut(row[name], widths[name]), widths[name], name) for name in names)

    return Table(tuple(names), padded({name: name for name in names}), tuple(padded(row) for row in cells))


def sparkline(values: Sequence[float], width: int, blocks: str = BLOCKS) -> str:
    """Return a sparkline of at most ``width`` characters, scaled to its own range; NaN leaves a gap."""
    count = min(width, len(values))
    bins = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [_finite_mean(part) for part in bins]
    known = [value for value in means if math.isfinite(value)]
    if not known:
        return " " * count
    low, span = min(known), max(known) - min(known)

    def block(value: float) -> str:
        if not math.isfinite(value):
            return " "
        return blocks[round((value - low) / span * (len(blocks) - 1))] if span > 0 else blocks[0]

    return "".join(map(block, means))


def counts_text(runs: Sequence[RunProgress]) -> str:
    """Return the number of runs and of those in each state: ``"3 runs: 1 running, 2 finished"``."""
    counts = [(state, sum(run.state is state for run in runs)) for state in RunState]
    parts = ", ".join(f"{count} {state}" for state, count in counts if count)
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'}{': ' if parts else ''}{parts}"


def count_text(count: int) -> str:
    """Return a whole number in at most five characters: ``"950"``, ``"52k"``, ``"44.5k"``, ``"1.25M"``."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= size:
            digits = 2 if count < 10 * size else 1 if count < 100 * size else 0
            scaled = math.floor(count / size * 10**digits) / 10**digits  # never rounded up to a step not yet reached
            return f"{scaled:.{digits}f}".rstrip("0").rstrip(".") + unit if digits else f"{scaled:.0f}{unit}"
    return str(count)


def number_text(value: float) -> str:
    """Return a score with about three digits: ``"0.393"``, ``"46.2"``, ``"-2,111"``; NaN is ``"-"``."""
    if not math.isfinite(value):
        return "-"
    size = abs(value)
    return f"{value:,.{3 if size < 10 else 1 if size < 1000 else 0}f}"


def _cells(run: RunProgress) -> dict[str, str]:
    """Return the cells of one run by column; the curve is filled in when its width is known."""
    if run.state is RunState.UNREADABLE:
        names = ("task", "algorithm", "seeds", "env steps", "score", "min..max", "curve")
        more = ("env steps/s", "updates/s", "time")
        return {"run": path_text(run.path), "state": run.state.value} | dict.fromkeys((*names, *more), "")
    last = run.evaluations[-1] if run.evaluations else None
    return {
        "run": path_text(run.path),
        "state": run.state.value,
        "task": run.task,
        "algorithm": run.algorithm,
        "seeds": _seeds_text(run.seeds),
        "env steps": f"{count_text(run.env_steps)}/{count_text(run.total_env_steps)}",
        "score": "-" if last is None else number_text(last.score),
        "min..max": "" if last is None else _range_text(last.scores, last.diverged),
        "curve": "",
        "env steps/s": "" if run.env_steps_per_second is None else f"{run.env_steps_per_second:,.0f}",
        "updates/s": "" if run.grad_steps_per_second is None else f"{run.grad_steps_per_second:,.0f}",
        "time": _time_text(run),
    }


def _seeds_text(seeds: Sequence[int]) -> str:
    return str(seeds[0]) if len(seeds) == 1 else f"{min(seeds)}-{max(seeds)}" if seeds else "-"


def _range_text(scores: Sequence[float], diverged: int) -> str:
    known = [score for score in scores if not math.isnan(score)]
    parts = [f"{number_text(min(known))}..{number_text(max(known))}"] if len(known) > 1 else []
    return ", ".join([*parts, *([f"{diverged} diverged"] if diverged else [])])


def _time_text(run: RunProgress) -> str:
    """Return the time left of a running run, or the wall time of any other."""
    if run.state is not RunState.RUNNING:
        return duration_text(run.wall_seconds)
    return "" if run.seconds_left is None else f"{duration_text(run.seconds_left)} left"


def _finite_mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _narrow(names: list[str], widths: dict[str, int], width: int) -> None:
    """Fit the columns into a line: shorten the curve and the runs' names first, then drop columns."""
    full_run, full_curve = widths["run"], widths["curve"]

    def excess() -> int:
        return sum(widths[name] for name in names) + _GAP * (len(names) - 1) - width

    widths["run"] = min(full_run, max(_MIN_RUN_WIDTH, width // 4))
    for name in (*_DROPPED, ""):
        widths["curve"] = full_curve
        widths["curve"] = max(min(_MIN_CURVE_WIDTH, full_curve), full_curve - max(0, excess()))
        if excess() <= 0:
            break
        if name == "run":
            widths["run"] = min(full_run, _MIN_RUN_WIDTH)
        elif name in names:
            names.remove(name)
    widths["run"] = max(1, min(full_run, widths["run"] - excess()))  # uses the remaining width, or gives up the excess


def _cut(text: str, width: int) -> str:
    """Return the end of a text that is too long, since paths of runs differ at their ends."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def _pad(text: str, width: int, name: str) -> str:
    return text.rjust(width) if name in _RIGHT_ALIGNED else text.ljust(width)
