"""Files and folders that appear whole or not at all: written beside, synced, moved into place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from surefoot.errors import RunFailure

TEMPORARY = ".tmp-"
"""Prefix of what is still being written, or being removed. Left behind by a killed process; never read."""

REPLACED = ".old-"
"""Prefix of a folder that is being replaced. It stands in for the new one until that is in place."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Digest:
    """What identifies a file's content: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


@contextlib.contextmanager
def disk_errors(action: str, path: Path) -> Iterator[None]:
    """Turn what the operating system refuses (disk full, no permission) into a one-line RunFailure."""
    try:
        yield
    except OSError as error:
        raise RunFailure(f"cannot {action} {path}: {error.strerror or error}") from error


def digest_of(path: Path) -> Digest:
    """Return the digest of a file, reading all of it."""
    sha256, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            sha256.update(chunk)
            size += len(chunk)
    return Digest(sha256.hexdigest(), size)


def sync_folder(path: Path) -> None:
    """Make the names in a folder (files created, renamed, removed) survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(stream: BinaryIO) -> None:
    """Make what was written to an open file survive a power cut."""
    stream.flush()
    os.fsync(stream.fileno())


@contextlib.contextmanager
def file_beside(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream whose content becomes the file at `path` when the block ends well, and vanishes otherwise."""
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        # What has this name is never written through: in a stranger's folder it may be a link to any other file.
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as stream:
            yield stream
            sync_file(stream)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Replace a file's content in one step."""
    with file_beside(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the folder at `path` when the block ends well, and vanishes otherwise.

    The files inside must be synced by whoever writes them.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        sync_folder(temporary)
        _replace_folder(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _replace_folder(new: Path, path: Path) -> None:
    """Move `new` to `path`. A folder cannot be renamed over another, so the old one steps aside first."""
    old = path.with_name(REPLACED + path.name)
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
    os.rename(new, path)
    sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def current_folder(path: Path) -> Path:
    """Return `path`, or the folder that stands in for it where a process was killed while replacing it."""
    old = path.with_name(REPLACED + path.name)
    return old if old.is_dir() and not path.exists() else path


def remove_folder(path: Path) -> None:
    """Remove a folder so that a kill halfway leaves no half-emptied folder under its name."""
    doomed = path.with_name(TEMPORARY + "removed-" + path.name)
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(path, doomed)
    shutil.rmtree(doomed)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in a folder. Only safe while no other process writes there."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        replaced = entry.name.startswith(REPLACED) and (folder / entry.name.removeprefix(REPLACED)).exists()
        if not (replaced or entry.name.startswith(TEMPORARY)):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
