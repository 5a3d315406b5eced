"""Tables of ``surefoot bench``: what a grid will cost, and where its cells stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from surefoot.cli.display import bytes_text, duration_text
from surefoot.cli.runs_table import count_text, number_text

if TYPE_CHECKING:
    from surefoot.benchmark.planning import CellCost
    from surefoot.benchmark.status import CellStatus


def status_lines(cells: Sequence[CellStatus], most: int | None) -> list[str]:
    """Return the table of cells as lines, those that wait or are done left out first where there is no room."""
    from surefoot.benchmark.status import seconds_left, summary

    rows = [("cell", "state", "env steps", "score", "updates/s", "time", "")]
    for cell in _most_wanted(cells, None if most is None else most - 2):
        run = cell.run
        if run is None:
            rows.append((cell.name, cell.state, "", "", "", "", cell.last_line))
            continue
        left = f"{duration_text(run.seconds_left)} left" if run.seconds_left is not None else ""
        score = number_text(run.evaluations[-1].score) if run.evaluations else ""
        speed = f"{run.grad_steps_per_second:,.0f}" if run.grad_steps_per_second and left else ""
        steps = f"{count_text(run.env_steps)}/{count_text(run.total_env_steps)}"
        clock = left or (duration_text(run.wall_seconds) if cell.state != "running" else "")
        rows.append((cell.name, cell.state, steps, score, speed, clock, cell.last_line))
    total = seconds_left(cells)
    ending = f", about {duration_text(total)} left" if total is not None else ""
    return [*_aligned(rows, right=(2, 3, 4, 5)), f"{summary(cells)}{ending}"]


def _most_wanted(cells: Sequence[CellStatus], count: int | None) -> list[CellStatus]:
    if count is None or len(cells) <= count:
        return list(cells)
    order = ("running", "failed", "unreadable", "stopped", "waiting", "finished")
    kept = sorted(cells, key=lambda cell: order.index(cell.state))[: max(1, count)]
    return [cell for cell in cells if cell in kept]


def plan_lines(costs: Sequence[CellCost], seconds: Sequence[float]) -> list[str]:
    """Return the table of what cells cost, the sum of all as its last line."""
    rows = [("cell", "env steps", "updates", "time", "memory", "disk")]
    rows += [
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
        f"{len(costs)} cells",
        count_text(sum(cost.env_steps for cost in costs)),
        count_text(sum(cost.grad_steps for cost in costs)),
        duration_text(sum(seconds)),
        f"{bytes_text(max(cost.memory_bytes for cost in costs))} at most",
        bytes_text(sum(cost.disk_bytes for cost in costs)),
    )
    return _aligned([*rows, total], right=(1, 2, 3, 4, 5))


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Return when the last cell ends if each starts, in order, in the first free place."""
    free = [0.0] * slots
    for taken in seconds:
        first = free.index(min(free))
        free[first] += taken
    return max(free)


def _aligned(rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
