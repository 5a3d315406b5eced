"""From a grid's directory to finished runs: which cells run, in what order, and what becomes of those that fail."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from surefoot.benchmark.attempts import Event, append_attempt, ending_text
from surefoot.benchmark.folder import BenchFolder
from surefoot.benchmark.launchers import Job, JobEnd, Launcher
from surefoot.runs.progress import RunReader, RunState
from surefoot.training.runtime.signals import StopSignal

INTERRUPTED = 130
MOST_LOSSES = 10
"""Times that a cell may lose its machine before that counts as its own failure."""
_WAIT_SECONDS = 0.5


@dataclass
class Outcome:
    """What came of a grid.

    Attributes:
        finished: cells that are done, those that were so before included.
        failed: cells that failed more often than they may.
        left: cells that were not finished because the benchmark was stopped.
    """

    finished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 where every cell is finished, 1 where some failed, 130 where it was stopped."""
        return INTERRUPTED if self.left else 1 if self.failed else 0


class Bench:
    """Runs every cell of a grid that is not finished.

    Args:
        folder: the grid's directory, whose lock is held.
        launcher: where cells run.
        memory_bytes: of a cell, by its name; see ``planning``.
        retries: how often a cell that failed is begun again. Losing its machine is not failing.
        tell: takes one line about each thing that happens.
    """

    def __init__(
        self,
        folder: BenchFolder,
        launcher: Launcher,
        memory_bytes: Mapping[str, int],
        retries: int,
        tell: Callable[[str], None],
    ) -> None:
        self._folder, self._launcher, self._retries, self._tell = folder, launcher, retries, tell
        self._memory_bytes = memory_bytes
        self._failures: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._running: set[str] = set()
        self._outcome = Outcome()
        self._waiting: deque[str] = deque()

    def run(self, stop: StopSignal) -> Outcome:
        """Go on until every cell is finished or has failed for good, or until a signal asks for the end."""
        for cell in self._folder.cells:
            (self._outcome.finished if self._is_finished(cell.name) else self._waiting).append(cell.name)
        if self._outcome.finished:
            self._tell(f"{len(self._outcome.finished)} of {len(self._folder.cells)} cells are finished already")
        stopping = False
        while self._running or (self._waiting and not stopping):
            if stop.received and not stopping:
                stopping = True
                self._tell(f"stopping: {len(self._running)} cells write their checkpoints")
                self._launcher.stop()
            if not stopping:
                self._start_what_fits()
            if (end := self._launcher.wait(_WAIT_SECONDS)) is not None:
                self._take(end, stopping)
        self._outcome.left += self._waiting
        return self._outcome

    def _start_what_fits(self) -> None:
        while self._waiting and self._launcher.has_room(job := self._job(self._waiting[0])):
            name = self._waiting.popleft()
            self._running.add(name)
            self._tell(f"{'resumes' if self._folder.run_path(name).exists() else 'starts':<9} {name}")
            self._launcher.start(job)
            append_attempt(self._folder.attempts_path, name, Event.STARTED)

    def _take(self, end: JobEnd, stopping: bool) -> None:
        self._running.discard(end.name)
        event = self._what_happened(end, stopping)
        append_attempt(self._folder.attempts_path, end.name, event, end.exit_code)
        if event is Event.FINISHED:
            self._outcome.finished.append(end.name)
            done = len(self._outcome.finished) + len(self._outcome.failed)
            self._tell(f"finished  {end.name} ({done} of {len(self._folder.cells)})")
        elif event is Event.FAILED:
            self._take_failure(end)
        else:
            # Nothing is wrong with the cell: its machine was lost, or somebody stopped it.
            self._waiting.append(end.name)
            self._tell(f"{event:<9} {end.name}")

    def _what_happened(self, end: JobEnd, stopping: bool) -> Event:
        if end.exit_code == 0 and self._is_finished(end.name):
            return Event.FINISHED
        if end.exit_code is None:
            self._losses[end.name] += 1
            # Machines do not die so often: it is the cell that brings them down.
            return Event.LOST if self._losses[end.name] <= MOST_LOSSES else Event.FAILED
        return Event.STOPPED if stopping or end.exit_code == INTERRUPTED else Event.FAILED

    def _take_failure(self, end: JobEnd) -> None:
        ending = ending_text(end.exit_code or 0)
        self._failures[end.name] += 1
        again = self._failures[end.name] <= self._retries
        last = " | ".join(self._folder.last_lines(end.name)) or "it printed nothing"
        tries = f"try {self._failures[end.name]} of {self._retries + 1}"
        self._tell(f"failed    {end.name} ({ending}, {tries}): {last}")
        (self._waiting if again else self._outcome.failed).append(end.name)

    def _job(self, name: str) -> Job:
        command = (sys.executable, "-m", "surefoot.benchmark.cell", str(self._folder.path), name)
        return Job(name, command, self._folder.log_path(name), self._memory_bytes[name])

    def _is_finished(self, name: str) -> bool:
        path = self._folder.run_path(name)
        return (path / "config.json").exists() and RunReader(path).read().state is RunState.FINISHED
