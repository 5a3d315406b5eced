"""Execution of a grid: order of its cells, retries and outcomes."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from surefoot.benchmark.attempts import Event, append_attempt, ending_text
from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.launchers import Job, JobEnd, Launcher
from surefoot.processes import python_command
from surefoot.runs.progress import RunReader, RunState
from surefoot.signals import INTERRUPTED, StopSignal

MAX_LOSSES = 10
"""Losses of its machine after which a cell counts as failed."""
_WAIT_SECONDS = 0.5


@dataclass
class Outcome:
    """Result of running a grid.

    Attributes:
        finished: Names of finished cells, earlier ones included.
        failed: Names of cells that failed in every attempt.
        left: Names of cells left unfinished by a stop.
    """

    finished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if every cell is finished, 1 if some failed, 130 after a stop."""
        return INTERRUPTED if self.left else 1 if self.failed else 0


class GridRun:
    """Runs unfinished cells of a grid.

    Args:
        folder: Directory of the grid, whose lock is held.
        launcher: Launcher of the cells.
        memory_bytes: Names of the cells to run, in this order, and their estimated memory; see ``planning``.
        retries: Number of restarts of a failed cell. The loss of its machine does not count as a failure.
        report: Called with one line per event.
    """

    def __init__(
        self,
        folder: GridFolder,
        launcher: Launcher,
        memory_bytes: Mapping[str, int],
        retries: int,
        report: Callable[[str], None],
    ) -> None:
        self._folder, self._launcher, self._retries, self._report = folder, launcher, retries, report
        self._memory_bytes = memory_bytes
        self._failures: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._running: set[str] = set()
        self._outcome = Outcome()
        self._waiting: deque[str] = deque()

    def run(self, stop: StopSignal) -> Outcome:
        """Run until every cell is finished or has failed, or until a stop signal."""
        for name in self._memory_bytes:
            (self._outcome.finished if self._is_finished(name) else self._waiting).append(name)
        if self._outcome.finished:
            self._report(f"{len(self._outcome.finished)} of {len(self._memory_bytes)} cells are already finished")
        stopping = False
        while self._running or (self._waiting and not stopping):
            if stop.received and not stopping:
                stopping = True
                self._report(f"stopping: {len(self._running)} cells write their checkpoints")
                self._launcher.stop()
            if not stopping:
                self._start_fitting()
            if (end := self._launcher.wait(_WAIT_SECONDS)) is not None:
                self._process_end(end, stopping)
        self._outcome.left += self._waiting
        return self._outcome

    def _start_fitting(self) -> None:
        while self._waiting and self._launcher.has_room(job := self._job(self._waiting[0])):
            name = self._waiting.popleft()
            self._running.add(name)
            self._report(f"{'resumes' if os.path.lexists(self._folder.run_path(name)) else 'starts':<9} {name}")
            self._launcher.start(job)
            append_attempt(self._folder.attempts_path, name, Event.STARTED)

    def _process_end(self, end: JobEnd, stopping: bool) -> None:
        self._running.discard(end.name)
        event = self._event_of(end, stopping)
        append_attempt(self._folder.attempts_path, end.name, event, end.exit_code)
        if event is Event.FINISHED:
            self._outcome.finished.append(end.name)
            done = len(self._outcome.finished) + len(self._outcome.failed)
            self._report(f"finished  {end.name} ({done} of {len(self._memory_bytes)})")
        elif event is Event.FAILED:
            self._process_failure(end)
        else:
            # Not a failure of the cell: its machine was lost, or it was stopped.
            self._waiting.append(end.name)
            self._report(f"{event:<9} {end.name}{f' ({end.loss})' if end.loss else ''}")

    def _event_of(self, end: JobEnd, stopping: bool) -> Event:
        if end.exit_code == 0 and self._is_finished(end.name):
            return Event.FINISHED
        if end.exit_code is None:
            self._losses[end.name] += 1
            # After many losses, the cell itself is the probable cause.
            return Event.LOST if self._losses[end.name] <= MAX_LOSSES else Event.FAILED
        return Event.STOPPED if stopping or end.exit_code == INTERRUPTED else Event.FAILED

    def _process_failure(self, end: JobEnd) -> None:
        # Without an exit code, its machine was lost once too often.
        ending = end.loss or "machine lost" if end.exit_code is None else ending_text(end.exit_code)
        self._failures[end.name] += 1
        retry = self._failures[end.name] <= self._retries
        last = " | ".join(self._folder.last_lines(end.name)) or "no output"
        attempt = f"attempt {self._failures[end.name]} of {self._retries + 1}"
        self._report(f"failed    {end.name} ({ending}, {attempt}): {last}")
        (self._waiting if retry else self._outcome.failed).append(end.name)

    def _job(self, name: str) -> Job:
        command = python_command("surefoot.benchmark.cell", str(self._folder.path), name)
        return Job(name, command, self._folder.log_path(name), self._memory_bytes[name])

    def _is_finished(self, name: str) -> bool:
        path = self._folder.run_path(name)
        return os.path.isfile(path / "config.json") and RunReader(path).read().state is RunState.FINISHED
