"""Atomic writes of files and folders: under a temporary name, synced, then moved into place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from surefoot.errors import RunFailure

TEMPORARY = ".tmp-"
"""Prefix of files and folders being written or removed; left behind by killed processes and never read."""

REPLACED = ".old-"
"""Prefix of a folder being replaced; it is valid until the new one is in place."""

_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)
"""Errors of file systems that cannot sync folders, as many network and FUSE ones."""

_CHUNK_BYTES = 1 << 20
_MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class Digest:
    """SHA-256 in hexadecimal and size in bytes of a file's content."""

    sha256: str
    size: int


@contextlib.contextmanager
def disk_errors(action: str, path: Path) -> Iterator[None]:
    """Convert an OSError (disk full, no permission) to a RunFailure of one line."""
    try:
        yield
    except OSError as error:
        raise RunFailure(f"cannot {action} {path}: {error.strerror or error}") from error


def digest_of(path: Path) -> Digest:
    """Return the digest of a file."""
    sha256, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            sha256.update(chunk)
            size += len(chunk)
    return Digest(sha256.hexdigest(), size)


def sync_folder(path: Path) -> None:
    """Make the creation, renaming and removal of files in a folder survive a power cut, where that is supported."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def sync_file(stream: BinaryIO) -> None:
    """Make the content of an open file survive a power cut."""
    stream.flush()
    os.fsync(stream.fileno())


def check_length(path: Path, below: str | os.PathLike[str] = "") -> None:
    """Raise an OSError if a name in a path is too long or invalid, before its parents are created.

    Args:
        path: Absolute path to make.
        below: Longest path inside it.
    """
    existing = next((folder for folder in path.parents if os.path.isdir(folder)), path)
    # A name is only looked up, and its length compared with the file system's limit, in a folder that exists.
    for name in (path, *(existing / part for part in path.parts[1:]), path / below):
        try:
            os.lstat(name)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except ValueError as error:  # a null byte, or a character that the file system's encoding lacks
            raise OSError(errno.EINVAL, str(error)) from error


def sibling(prefix: str, path: Path) -> Path:
    """Return the path of a file or folder next to another one, whose name may be as long as the file system allows."""
    name = os.fsencode(path.name)
    short = path.name if len(name) <= _MAX_NAME_BYTES else hashlib.sha256(name).hexdigest()
    return path.with_name(f"{prefix}{short}")


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream whose content becomes the file at `path` if the block succeeds, and is removed otherwise."""
    temporary = sibling(TEMPORARY, path)
    try:
        # Not opened if it exists: in an untrusted folder it may be a link to any other file.
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
    with replacing_file(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the folder at `path` if the block succeeds, and is removed otherwise.

    The caller must sync the files inside.
    """
    temporary = sibling(TEMPORARY, path)
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
    """Move `new` to `path`. A folder cannot be renamed over another, so the old one is renamed first."""
    old = sibling(REPLACED, path)
    if os.path.lexists(path):
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
    os.rename(new, path)
    sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def replaceable_folder(path: Path) -> Path:
    """Return the folder that a user's path names, which may be a link, for ``replacing_folder``.

    Raises:
        OSError: The path is invalid, or a mount point, which cannot be renamed.
    """
    try:
        folder = Path(os.path.realpath(path))
    except ValueError as error:  # a null byte, or a character that the file system's encoding lacks
        raise OSError(errno.EINVAL, str(error)) from error
    if os.path.ismount(folder):
        raise OSError(errno.EBUSY, "it is a mount point; expected a folder inside it")
    return folder


def current_folder(path: Path) -> Path:
    """Return `path`, which may be a link, or its old version if a process was killed while replacing it."""
    if os.path.exists(path):
        return path
    target = Path(os.path.realpath(path)) if os.path.islink(path) else path
    old = sibling(REPLACED, target)
    return old if os.path.isdir(old) else path


def remove_folder(path: Path) -> None:
    """Remove a folder so that a kill leaves no partly emptied folder under its name."""
    doomed = sibling(f"{TEMPORARY}removed-", path)
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(path, doomed)
    shutil.rmtree(doomed)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder in which no other process writes."""
    if not os.path.isdir(folder):
        return
    for entry in folder.iterdir():
        replaced = entry.name.startswith(REPLACED) and (folder / entry.name.removeprefix(REPLACED)).exists()
        if not (replaced or entry.name.startswith(TEMPORARY)):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
