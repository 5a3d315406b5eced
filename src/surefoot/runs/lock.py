"""One process trains in a run directory at a time."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from surefoot.errors import UserError
from surefoot.runs.atomic import disk_errors

_INSTANT = 0.05
"""Seconds, far more than ``surefoot watch`` holds the lock of a run that it looks at."""


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
        """Take the lock, or refuse at once.

        Raises:
            UserError: another holder has it (named by its process id), or the lock file cannot be opened or locked.
            RunFailure: the disk refused the process id.
        """
        try:
            # No link is followed: the file is emptied below, and a stranger's run may lead to any other.
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
        """Give the lock back; does nothing where it is not held. The lock file stays: removing it would race."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def keep(self) -> Callable[[], None]:
        """Keep the lock taken, ``release`` or not, until the function that is returned is called.

        For a thread that writes and may go on when whoever took the lock gives it back. Without the lock, nothing.
        """
        if self._descriptor is None:
            return lambda: None
        descriptor = os.dup(self._descriptor)  # The kernel frees the lock when the last of them is closed.
        self._kept.add(descriptor)
        return lambda: self._close(descriptor)

    def forget(self) -> None:
        """Close all that a fork copied, in the child; the parent's lock stays taken."""
        self.release()
        for descriptor in list(self._kept):
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._kept:
            self._kept.discard(descriptor)
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Say whether a process holds the lock that is a file.

    A shared lock is tried and given back at once, so any number of processes may ask, also on another machine where
    the file system passes locks on.
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
    """Lock an open file for this process alone; try twice, since somebody may just be looking whether it is locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_INSTANT)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_locks: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    """Close the locks a fork copied: an orphaned worker must not keep a dead run locked."""
    for lock in _locks:
        lock.forget()


os.register_at_fork(after_in_child=_forget_in_child)
