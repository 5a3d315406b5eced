"""Interface of launchers, which run jobs and report their ends."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from surefoot.runs.atomic import disk_errors


@dataclass(frozen=True)
class Job:
    """A process to run.

    Attributes:
        name: Name of the cell that it trains.
        command: Program and arguments.
        log: File that its output is appended to.
        memory_bytes: Estimated main memory.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    memory_bytes: int


@dataclass(frozen=True)
class JobEnd:
    """End of a job.

    Attributes:
        name: Name of the job.
        exit_code: Exit code of the process; None if the machine it ran on was lost.
        loss: What was lost then; empty if unknown.
    """

    name: str
    exit_code: int | None
    loss: str = ""


PARENT = "SUREFOOT_CELL_PARENT"
"""Environment variable with the process id of a job's launcher. The job compares it with its parent's, since the
launcher may be killed during the job's imports."""


UTF8 = {"PYTHONIOENCODING": "utf-8"}
"""Environment variable of processes whose output goes to a file or to this process, in any locale."""


class Launcher(Protocol):
    """Runs jobs concurrently. A context manager that kills running jobs at its end."""

    def describe(self) -> str:
        """Return a description of where jobs run."""
        ...

    def has_room(self, job: Job) -> bool:
        """Return whether there is room to ``start`` the job."""
        ...

    def start(self, job: Job) -> None:
        """Start a job without waiting for it."""
        ...

    def wait(self, seconds: float) -> JobEnd | None:
        """Return the next job that ended, or None after ``seconds``."""
        ...

    def stop(self) -> None:
        """Send SIGTERM to every running job; ``wait`` returns their ends."""
        ...

    def __enter__(self) -> Self:
        """Return self."""
        ...

    def __exit__(self, *_: object) -> None:
        """Kill running jobs."""
        ...


def open_log(path: Path) -> BinaryIO:
    """Open a job's log for appending, without following links, which may lead anywhere in an untrusted directory.

    Raises:
        RunFailure: It cannot be written.
    """
    with disk_errors("write", path):
        return open(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o644))
