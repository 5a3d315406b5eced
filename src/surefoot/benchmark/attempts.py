"""What became of every attempt at a cell: a CSV file that only grows, so that anybody can tell from files alone."""

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
    """What happens to a cell."""

    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"
    """The machine that it ran on is gone."""
    STOPPED = "stopped"
    """It was asked to end, and can go on."""


@dataclass(frozen=True)
class Attempts:
    """The attempts at one cell.

    Attributes:
        count: how often it was started.
        last: what happened last; None before anything did.
        ending: how its process ended then, for a person, such as "exit code 1"; empty where that is not known.
    """

    count: int = 0
    last: Event | None = None
    ending: str = ""


def append_attempt(path: Path, cell: str, event: Event, exit_code: int | None = None) -> None:
    """Add a row. One process at a time may: the one that holds the lock of the grid's directory.

    Args:
        path: the file; made where it is missing.
        cell: a cell's name, which has no commas.
        event: what happened.
        exit_code: of the cell's process, where it ended and that is known.

    Raises:
        RunFailure: the disk refused it, or the file is a link.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    row = f"{now},{cell},{event},{'' if exit_code is None else exit_code}\n"
    with disk_errors("write", path):
        # No link is followed: a stranger's directory may lead to any other file.
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.write(descriptor, (_beginning(descriptor) + row).encode())
        finally:
            os.close(descriptor)


def read_attempts(path: Path) -> dict[str, Attempts]:
    """Return the attempts at every cell that has any; what is no row of ours is passed over.

    Raises:
        UserError: the file is there and cannot be read.
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
    """Say how a process ended, for a person: "exit code 1", or "SIGKILL" where a signal ended it."""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"exit code {exit_code}"


def _beginning(descriptor: int) -> str:
    """Return what must stand before a row: the header, or the end of a line that a killed process left open."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return _HEADER
    return "" if os.pread(descriptor, 1, size - 1) == b"\n" else "\n"
