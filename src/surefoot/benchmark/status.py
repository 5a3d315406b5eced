"""State of a grid's cells, read from its files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from surefoot.benchmark.attempts import Attempts, Event, read_attempts
from surefoot.benchmark.folder import GridFolder
from surefoot.errors import UserError
from surefoot.runs.progress import RunProgress, RunReader, RunState
from surefoot.runs.untrusted import why_missing


@dataclass(frozen=True)
class CellStatus:
    """State of a cell.

    Attributes:
        name: Name of the cell.
        state: "waiting" before it has a run directory; "starting" until its process locks it; "running", "finished" or
            "unreadable" like its run; "failed" after a failed attempt; "stopped" if it can be resumed.
        run: Progress of its run; None before the start.
        attempts: Number of starts.
        problem: Reason of a failure, in one line; otherwise empty.
    """

    name: str
    state: str
    run: RunProgress | None
    attempts: int = 0
    problem: str = ""


class GridReader:
    """Incremental reader of a grid's directory.

    Args:
        folder: Directory of the grid.

    Attributes:
        problem: Why the log of attempts could not be read last, in one line; otherwise empty.
    """

    def __init__(self, folder: GridFolder) -> None:
        self.folder = folder
        self.problem = ""
        self._readers = {cell.name: RunReader(folder.run_path(cell.name)) for cell in folder.cells}

    def read(self) -> list[CellStatus]:
        """Return the state of every cell, in the grid's order; without a readable log of attempts, none is counted."""
        launching = self.folder.is_launching()
        # After the lock, to include the last rows of a launcher that ends in between.
        try:
            attempts, self.problem = read_attempts(self.folder.attempts_path), ""
        except UserError as error:
            attempts, self.problem = {}, str(error)
        return [self._read(cell.name, attempts.get(cell.name, Attempts()), launching) for cell in self.folder.cells]

    def _read(self, name: str, attempts: Attempts, launching: bool) -> CellStatus:
        started = why_missing(self.folder.run_path(name) / "config.json") != "is missing"
        run = self._readers[name].read() if started else None
        state, problem = "stopped" if started else "waiting", ""
        if run is not None and run.state in (RunState.RUNNING, RunState.FINISHED):
            state = run.state.value
        elif attempts.last is Event.STARTED and launching:
            state = "starting"
        elif run is not None and run.state is RunState.UNREADABLE:
            state, problem = run.state.value, run.problem or ""
        elif attempts.last is Event.FAILED:
            last = "".join(self.folder.last_lines(name, 1)) or "no output"
            state, problem = "failed", f"{attempts.ending}: {last}"
        return CellStatus(name, state, run, attempts.count, problem)


def seconds_left(cells: Sequence[CellStatus]) -> float | None:
    """Return an estimate of the time until every cell is done; None before the speed of a running cell is known.

    Waiting cells are assumed to take as long as the average running one, in the same number of slots.
    """
    running = [cell.run for cell in cells if cell.run is not None and cell.state == "running"]
    known = [run.seconds_left for run in running if run.seconds_left is not None]
    if not known:
        return None
    whole = [run.wall_seconds + run.seconds_left for run in running if run.seconds_left is not None]
    waits = sum(cell.state not in ("running", "finished") for cell in cells)
    rounds = math.ceil(waits / len(running))
    return max(known) + rounds * sum(whole) / len(whole)


def summary(cells: Sequence[CellStatus]) -> str:
    """Return the number of cells in each state: ``"5 cells: 2 finished, 1 running, 2 waiting"``."""
    counts = Counter(cell.state for cell in cells)
    order = ("finished", "running", "starting", "waiting", "stopped", "failed", "unreadable")
    parts = [f"{counts[state]} {state}" for state in order if counts[state]]
    return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}: {', '.join(parts)}"
