"""Tables of ``surefoot bench``: cost of a grid, and state of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from surefoot.cli.display import bytes_text
from surefoot.cli.runs_table import count_text, number_text
from surefoot.training.progress_text import duration_text

if TYPE_CHECKING:
    from surefoot.benchmark.planning import CellCost
    from surefoot.benchmark.status import CellStatus


_GAP = 2
_HEADER = ("cell", "state", "tries", "env steps", "score", "updates/s", "time")
_OPTIONAL = ("updates/s", "score", "tries")
"""Columns left out on a narrow terminal, in this order."""
_MIN_NAME_WIDTH = 32
_SHOWN_FIRST = ("running", "starting", "failed", "unreadable", "stopped", "waiting", "finished")
"""Order of preference of cells on a low terminal."""


def status_lines(
    cells: Sequence[CellStatus], width: int | None = None, height: int | None = None, problem: str = ""
) -> list[tuple[str, str]]:
    """Return the lines of the table of cells, each with the state of its cell, or "".

    Args:
        cells: Cells in the grid's order.
        width: Characters in a line; None for no limit.
        height: Number of lines; None for no limit.
        problem: Problem of the whole grid in one line, or "".
    """
    from surefoot.benchmark.status import seconds_left, summary

    problems = [(f"unreadable: {problem}", "unreadable")] if problem else []
    problems += [(f"{cell.state}: {cell.name}: {cell.problem}", cell.state) for cell in cells if cell.problem]
    if height is not None:
        problems = problems[: max(1, height // 4)]
    shown = _preferred(cells, None if height is None else height - 2 - len(problems))
    rows = [dict(zip(_HEADER, texts, strict=True)) for texts in (_HEADER, *map(_status_row, shown))]
    lines = _aligned(_narrowed(rows, width), right=("tries", "env steps", "score", "updates/s", "time"))
    total = seconds_left(cells)
    ending = f", about {duration_text(total)} left" if total is not None else ""
    hidden = f" ({len(cells) - len(shown)} not shown)" if len(shown) < len(cells) else ""
    states = ("", *(cell.state for cell in shown))
    return [*zip(lines, states, strict=True), *problems, (f"{summary(cells)}{hidden}{ending}", "")]


def _status_row(cell: CellStatus) -> tuple[str, ...]:
    run, tries = cell.run, str(cell.attempts or "")
    if run is None or cell.state == "unreadable":
        return (cell.name, cell.state, tries, "", "", "", "")
    going = cell.state == "running"
    left = f"{duration_text(run.seconds_left)} left" if run.seconds_left is not None else ""
    return (
        cell.name,
        cell.state,
        tries,
        f"{count_text(run.env_steps)}/{count_text(run.total_env_steps)}",
        number_text(run.evaluations[-1].score) if run.evaluations else "",
        f"{run.grad_steps_per_second:,.0f}" if going and run.grad_steps_per_second else "",
        left if going else duration_text(run.wall_seconds),
    )


def _preferred(cells: Sequence[CellStatus], count: int | None) -> list[CellStatus]:
    if count is None or len(cells) <= count:
        return list(cells)
    kept = {cell.name for cell in sorted(cells, key=lambda cell: _SHOWN_FIRST.index(cell.state))[: max(1, count)]}
    return [cell for cell in cells if cell.name in kept]


def _narrowed(rows: list[dict[str, str]], width: int | None) -> list[dict[str, str]]:
    """Return rows that fit a line, with fewer columns and shortened cell names if needed."""
    if width is None:
        return rows

    def room() -> int:
        others = [max(len(row[name]) for row in rows) for name in rows[0] if name != "cell"]
        return width - sum(others) - _GAP * len(others)

    longest = max(len(row["cell"]) for row in rows)
    for name in _OPTIONAL:
        if room() < min(longest, _MIN_NAME_WIDTH):
            rows = [{key: text for key, text in row.items() if key != name} for row in rows]
    return [{**row, "cell": _cut(row["cell"], max(9, room()))} for row in rows]


def _cut(text: str, width: int) -> str:
    """Return a text without its middle if it is too long: cells' names start with the task and end with the seeds."""
    if len(text) <= width:
        return text
    head = width // 2
    return f"{text[:head]}…{text[len(text) - (width - head - 1) :]}"


def plan_lines(costs: Sequence[CellCost], seconds: Sequence[float]) -> list[str]:
    """Return the table of costs, with their sum in the last line."""
    names = ("cell", "env steps", "updates", "time", "memory", "disk")
    rows = [
        (
            cost.name,
            count_text(cost.env_steps),
            count_text(cost.grad_steps),
            duration_text(taken),
            bytes_text(cost.memory_bytes),
            bytes_text(cost.disk_bytes),
        )
        for cost, taken in zip(costs, seconds, strict=True)
    ]
    total = (
        f"{len(costs)} cell{'' if len(costs) == 1 else 's'}",
        count_text(sum(cost.env_steps for cost in costs)),
        count_text(sum(cost.grad_steps for cost in costs)),
        duration_text(sum(seconds)),
        f"{bytes_text(max(cost.memory_bytes for cost in costs))} at most",
        bytes_text(sum(cost.disk_bytes for cost in costs)),
    )
    return _aligned([dict(zip(names, row, strict=True)) for row in (names, *rows, total)], right=names[1:])


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Return the duration until the last cell ends if each starts, in order, in the first free slot."""
    free = [0.0] * slots
    for taken in seconds:
        first = free.index(min(free))
        free[first] += taken
    return max(free)


def _aligned(rows: Sequence[dict[str, str]], right: Sequence[str]) -> list[str]:
    widths = {name: max(len(row[name]) for row in rows) for name in rows[0]}
    return [
        (" " * _GAP)
        .join(text.rjust(widths[name]) if name in right else text.ljust(widths[name]) for name, text in row.items())
        .rstrip()
        for row in rows
    ]
