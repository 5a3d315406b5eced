"""Locks of run directories, so that one process at a time trains in each."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from surefoot.errors import UserError
from surefoot.runs.atomic import disk_errors

_RETRY_SECONDS = 0.05
"""Delay before a second attempt, far longer than ``surefoot watch`` holds a lock to test it."""


class RunLock:
    """An advisory lock on a file, released by the kernel when its process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._kept: set[int] = set()
        _locks.add(self)

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock without waiting.

        Raises:
            UserError: Another process holds it (the message names its id), or the lock file cannot be opened or locked.
            RunFailure: The process id cannot be written.
        """
        try:
            # No link is followed: the file is truncated below, and in an untrusted run it may be a link to any other.
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise UserError(f"cannot lock {self._path.parent}: {error.strerror}") from error
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise UserError(
                f"{self._path.parent} is in use by process {holder}; wait until it ends, or stop it"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise UserError(f"cannot lock {self._path.parent}: {error.strerror}") from error
        try:
            with disk_errors("write", self._path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock, if it is held. The lock file stays, since its removal would race with other processes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def keep(self) -> Callable[[], None]:
        """Keep a held lock until the returned function is called, also after ``release``.

        For background threads that may outlive the code that took the lock.
        """
        if self._descriptor is None:
            return lambda: None
        descriptor = os.dup(self._descriptor)  # the kernel frees the lock when the last descriptor is closed
        self._kept.add(descriptor)
        return lambda: self._close(descriptor)

    def close_copies(self) -> None:
        """Close the copied descriptors in a forked child; the parent keeps its lock."""
        self.release()
        for descriptor in list(self._kept):
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._kept:
            self._kept.discard(descriptor)
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock of a file.

    A shared lock is tried and released at once, so any number of processes can test it, also from other machines if
    the file system supports that.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    else:
        return False
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file exclusively; try twice, since another process may just be testing the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_RETRY_SECONDS)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_locks: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _close_copies_in_child() -> None:
    """Close copied locks in a forked child: an orphaned worker must not keep a dead run locked."""
    for lock in _locks:
        lock.close_copies()


os.register_at_fork(after_in_child=_close_copies_in_child)
