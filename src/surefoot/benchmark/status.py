"""Where the cells of a grid stand, from files alone: from another terminal or another machine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from surefoot.benchmark.folder import BenchFolder
from surefoot.runs.progress import RunProgress, RunReader, RunState


@dataclass(frozen=True)
class CellStatus:
    """One cell at one moment.

    Attributes:
        name: the cell's.
        state: "waiting" before it has a run directory, otherwise the run's.
        run: its run; None while it waits.
        last_line: the last thing that a failed cell's process printed, otherwise empty.
    """

    name: str
    state: str
    run: RunProgress | None
    last_line: str = ""


class BenchReader:
    """A grid's directory, looked at again and again.

    Args:
        folder: the directory.
    """

    def __init__(self, folder: BenchFolder) -> None:
        self.folder = folder
        self._readers = {cell.name: RunReader(folder.run_path(cell.name)) for cell in folder.cells}

    def read(self) -> list[CellStatus]:
        """Return every cell, in the grid's order."""
        return [self._read(cell.name) for cell in self.folder.cells]

    def _read(self, name: str) -> CellStatus:
        if not (self.folder.run_path(name) / "config.json").exists():
            # A process that could not begin its run leaves a log and no run.
            said = self._last_line(name)
            return CellStatus(name, "failed" if said.startswith("surefoot: error") else "waiting", None, said)
        run = self._readers[name].read()
        broke = run.state in (RunState.FAILED, RunState.STOPPED, RunState.UNREADABLE)
        said = self._last_line(name) if broke else ""
        state = "failed" if said.startswith("surefoot: error") else run.state.value
        return CellStatus(name, state, run, run.problem or said)

    def _last_line(self, name: str) -> str:
        if not self.folder.log_path(name).exists():
            return ""
        return "".join(self.folder.last_lines(name, 1))


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
    order = ("finished", "running", "waiting", "stopped", "failed", "unreadable")
    parts = [f"{counts[state]} {state}" for state in order if counts[state]]
    return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}: {', '.join(parts)}"
