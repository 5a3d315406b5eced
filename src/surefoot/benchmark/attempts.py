"""Log of all attempts at the cells of a grid: an append-only CSV file."""

from __future__ import annotations

import datetime
import enum
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from surefoot.runs.atomic import disk_errors
from surefoot.runs.untrusted import read_small

ATTEMPTS = "attempts.csv"
_EXIT_CODE = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_HEADER = "time,cell,event,exit_code\n"


class Event(enum.StrEnum):
    """Event of an attempt."""

    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"
    """Its machine was lost."""
    STOPPED = "stopped"
    """It was stopped and can be resumed."""


@dataclass(frozen=True)
class Attempts:
    """The attempts at one cell.

    Attributes:
        count: Number of starts.
        last: Last event; None before the first.
        ending: End of its process then, such as "exit code 1"; empty if unknown.
    """

    count: int = 0
    last: Event | None = None
    ending: str = ""


def append_attempt(path: Path, cell: str, event: Event, exit_code: int | None = None) -> None:
    """Add a row. Only the process that holds the lock of the grid's directory may do so.

    Args:
        path: Log file; it is made if missing.
        cell: Name of the cell, without commas.
        event: Event to log.
        exit_code: Exit code of the cell's process, if known.

    Raises:
        RunFailure: The write failed, or the file is a link.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    row = f"{now},{cell},{event},{'' if exit_code is None else exit_code}\n"
    with disk_errors("write", path):
        # No link is followed: in an untrusted directory it could lead to any other file.
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.write(descriptor, (_row_prefix(descriptor) + row).encode())
        finally:
            os.close(descriptor)


def read_attempts(path: Path) -> dict[str, Attempts]:
    """Return the attempts at every cell that has any; invalid rows are skipped.

    Raises:
        UserError: The file exists and cannot be read.
    """
    if not os.path.lexists(path):
        return {}
    found: dict[str, Attempts] = {}
    events = {event.value: event for event in Event}
    for line in read_small(path).decode(errors="replace").splitlines():
        _, cell, event, code = (*line.split(","), "", "", "", "")[:4]
        if event in events:
            count = found.get(cell, Attempts()).count + (events[event] is Event.STARTED)
            ending = ending_text(int(code)) if _EXIT_CODE.fullmatch(code) else ""
            found[cell] = Attempts(count, events[event], ending)
    return found


def ending_text(exit_code: int) -> str:
    """Return how a process ended: "exit code 1", or "SIGKILL" after a signal."""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"exit code {exit_code}"


def _row_prefix(descriptor: int) -> str:
    """Return the bytes to write before a row: the header, or the end of a killed process's incomplete line."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return _HEADER
    return "" if os.pread(descriptor, 1, size - 1) == b"\n" else "\n"
