"""Output files of commands: validation of their paths, and atomic writes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from surefoot.errors import RunFailure, UserError
from surefoot.runs.atomic import check_length, write_file
from surefoot.runs.layout import LOCK, absolute
from surefoot.runs.lock import is_lock_file
from surefoot.runs.untrusted import why_missing

_RUN_FOLDERS = ("checkpoints", "policy", "replay")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def check_output(path: Path, run: Path) -> None:
    """Validate the path of an output file before the work.

    Args:
        path: File to write; an existing one will be replaced.
        run: Run directory that the output is made from; its own files are not replaced.

    Raises:
        UserError: The path is a folder or a device, its folder is missing or not writable, or it is one of the run's
            own files.
    """
    folder = absolute(path).parent
    if os.path.isdir(path):
        raise UserError(f"cannot write {path}: it is a folder, expected a file")
    if os.path.exists(path) and not os.path.isfile(path):  # such as /dev/null
        raise UserError(f"cannot write {path}: it is not a regular file")
    if (found := why_missing(folder)) != "is a folder":
        raise UserError(f"cannot write {path}: {folder} {found}")
    with output_errors(path):
        check_length(absolute(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: no permission to write in {folder}")
    if why_missing(run) != "is a folder":
        return  # it is rejected later, and owns no files
    real, own = Path(os.path.realpath(path)), Path(os.path.realpath(run))
    inside = real.relative_to(own) if real.is_relative_to(own) else None
    if inside is not None and (
        inside.parts[0] in _RUN_FOLDERS or is_lock_file(inside.parts[0], LOCK) or inside.suffix in (".csv", ".json")
    ):
        raise UserError(f"cannot write {path}: it belongs to the run {run}; choose another path")


def write_output(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        UserError: The path cannot be written to.
        RunFailure: The disk is full or broken.
    """
    with output_errors(path):
        write_file(path, content)


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Raise an OSError as a RunFailure if the disk is full or broken, else as a UserError."""
    try:
        yield
    except OSError as error:
        failure = RunFailure if error.errno in _DISK_ERRORS else UserError
        raise failure(f"cannot write {path}: {error.strerror or error}") from error
