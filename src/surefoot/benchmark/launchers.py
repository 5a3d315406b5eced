"""What a launcher is: it places jobs on processors and tells of their ends, and decides nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from surefoot.runs.atomic import disk_errors


@dataclass(frozen=True)
class Job:
    """One process to run.

    Attributes:
        name: of the cell that it trains.
        command: the program and its arguments.
        log: file that its output is appended to.
        memory_bytes: of the machine's memory, an estimate.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    memory_bytes: int


@dataclass(frozen=True)
class JobEnd:
    """A job is over.

    Attributes:
        name: the job's.
        exit_code: the process's; None where the machine that it ran on was lost, which is no fault of the job's.
    """

    name: str
    exit_code: int | None


PARENT = "SUREFOOT_CELL_PARENT"
"""Environment variable that tells a job's process who started it, so that it can tell whether that one is still there:
its own imports take seconds, in which its parent may have been killed already."""


class Launcher(Protocol):
    """Runs jobs at once as far as there is room. Use it in a ``with`` block, which ends what still runs."""

    def describe(self) -> str:
        """Return where jobs run, for a person."""
        ...

    def has_room(self, job: Job) -> bool:
        """Return whether ``start`` may be called now."""
        ...

    def start(self, job: Job) -> None:
        """Start a job; do not wait for it."""
        ...

    def wait(self, seconds: float) -> JobEnd | None:
        """Return the next job that ended, or None after so many seconds."""
        ...

    def stop(self) -> None:
        """Ask every running job to end in good order (SIGTERM); their ends come from ``wait``."""
        ...

    def __enter__(self) -> Self:
        """Return self."""
        ...

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        ...


def open_log(path: Path) -> BinaryIO:
    """Open a job's log to append to; no link is followed, since a stranger's directory may lead to any other file.

    Raises:
        RunFailure: it cannot be written.
    """
    with disk_errors("write", path):
        return open(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o644))
