"""Where the cells of a grid stand, from files alone: from another terminal or another machine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from surefoot.benchmark.attempts import Attempts, Event, read_attempts
from surefoot.benchmark.folder import BenchFolder
from surefoot.runs.progress import RunProgress, RunReader, RunState


@dataclass(frozen=True)
class CellStatus:
    """One cell at one moment.

    Attributes:
        name: the cell's.
        state: "waiting" before it has a run directory; "starting" until its process takes hold of that; "running",
            "finished" or "unreadable" as the run is; "failed" where the last attempt did; "stopped" where it can go on.
        run: its run; None before there is one.
        attempts: how often it was started.
        problem: why it failed or cannot be read, in one line, otherwise empty.
    """

    name: str
    state: str
    run: RunProgress | None
    attempts: int = 0
    problem: str = ""


class BenchReader:
    """A grid's directory, looked at again and again.

    Args:
        folder: the directory.
    """

    def __init__(self, folder: BenchFolder) -> None:
        self.folder = folder
        self._readers = {cell.name: RunReader(folder.run_path(cell.name)) for cell in folder.cells}

    def read(self) -> list[CellStatus]:
        """Return every cell, in the grid's order.

        Raises:
            UserError: the file that tells of attempts cannot be read.
        """
        launching = self.folder.is_launching()
        # After the lock: what a launcher that ends in between writes last is still seen.
        attempts = read_attempts(self.folder.attempts_path)
        return [self._read(cell.name, attempts.get(cell.name, Attempts()), launching) for cell in self.folder.cells]

    def _read(self, name: str, attempts: Attempts, launching: bool) -> CellStatus:
        begun = (self.folder.run_path(name) / "config.json").exists()
        run = self._readers[name].read() if begun else None
        state, problem = "stopped" if begun else "waiting", ""
        if run is not None and run.state in (RunState.RUNNING, RunState.FINISHED):
            state = run.state.value
        elif attempts.last is Event.STARTED and launching:
            state = "starting"
        elif attempts.last is Event.FAILED:
            last = "".join(self.folder.last_lines(name, 1)) or "it printed nothing"
            state, problem = "failed", f"{attempts.ending}: {last}"
        elif run is not None and run.state is RunState.UNREADABLE:
            state, problem = run.state.value, run.problem or ""
        return CellStatus(name, state, run, attempts.count, problem)


def seconds_left(cells: Sequence[CellStatus]) -> float | None:
    """Return an estimate until every cell is done, None before a running one shows its speed.

    What waits is taken to be as long as an average cell, and to run in as many places as run now.
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
    """Return how many cells are in each state: ``"5 cells: 2 finished, 1 running, 2 waiting"``."""
    counts = Counter(cell.state for cell in cells)
    order = ("finished", "running", "starting", "waiting", "stopped", "failed", "unreadable")
    parts = [f"{counts[state]} {state}" for state in order if counts[state]]
    return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}: {', '.join(parts)}"
