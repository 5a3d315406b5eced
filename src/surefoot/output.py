"""Where a file that a user asked for may go, and how it gets there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from surefoot.errors import RunFailure, UserError
from surefoot.runs.atomic import write_file
from surefoot.runs.layout import LOCK

_OF_THE_RUN = ("checkpoints", "policy", "replay", LOCK)
_DISK_BROKE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def check_output(path: Path, run: Path) -> None:
    """Refuse a place that cannot be written to, before the work; write nothing.

    Args:
        path: the file to write. One that is there will be replaced.
        run: the run directory that it tells of; the run's own files are not replaced.

    Raises:
        UserError: it is a folder or a device, its folder is missing or not writable, or it is one of the run's own
            files.
    """
    folder = path.absolute().parent
    if os.path.isdir(path):  # Path's own raises where a name is too long, which writing will tell
        raise UserError(f"cannot write {path}: it is a folder, expected the name of a file")
    if os.path.exists(path) and not os.path.isfile(path):  # replacing /dev/null would break the machine
        raise UserError(f"cannot write {path}: it is not a regular file")
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: {folder} is {'a file' if folder.exists() else 'missing'}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: no permission to write in {folder}")
    inside = path.resolve().relative_to(run.resolve()) if path.resolve().is_relative_to(run.resolve()) else None
    if inside is not None and (inside.parts[0] in _OF_THE_RUN or inside.suffix in (".csv", ".json")):
        raise UserError(f"cannot write {path}: it belongs to the run {run}; choose another place")


def write_output(path: Path, content: bytes) -> None:
    """Put a file in its place in one step.

    Raises:
        UserError: the place cannot be written to.
        RunFailure: the disk is full or broken.
    """
    with output_errors(path):
        write_file(path, content)


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one line: a UserError, or a RunFailure where the disk is to blame."""
    try:
        yield
    except OSError as error:
        failure = RunFailure if error.errno in _DISK_BROKE else UserError
        raise failure(f"cannot write {path}: {error.strerror or error}") from error
