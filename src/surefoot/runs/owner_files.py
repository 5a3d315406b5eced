"""Locks on file systems without flock: numbered files that name their owner, refreshed while they are held.

The newest file decides. It is never removed, so that all candidates compete for the same next number, which
the file system gives to one of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
import time
from pathlib import Path
from typing import Self

from surefoot.errors import RunFailure
from surefoot.runs.atomic import disk_errors
from surefoot.runs.owner import RELEASED, Owner, OwnerText, read_owner, this_process

REFRESH_SECONDS = 5.0
STALE_SECONDS = 60.0
"""Time without a refresh after which an owner on another machine may be dead."""

_FLAGS = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_ATTEMPTS = 10


class InUse(Exception):
    """Another process holds the lock.

    Args:
        owner: The process; None if the file does not name it.
    """

    def __init__(self, owner: Owner | None) -> None:
        super().__init__(owner)
        self.owner = owner


class OwnerFile:
    """A held lock. Made by ``acquire``.

    Args:
        lock: Path of the lock; the files are in its folder, and their names are its name with a number.
        number: Number of the file.
    """

    def __init__(self, lock: Path, number: int) -> None:
        """Use ``acquire`` instead."""
        self.path = lock.with_name(f"{lock.name}-{number}")
        self._lock, self._number, self._owner = lock, number, this_process()
        self._mutex, self._closed = threading.Lock(), threading.Event()

    @classmethod
    def acquire(cls, lock: Path) -> Self:
        """Take the lock. Waits some seconds where the owner seems dead and is on another machine.

        Raises:
            InUse: Another process holds it.
            RunFailure: The file cannot be written.
        """
        for _ in range(_ATTEMPTS):
            claimed = cls(lock, require_free(lock) + 1)
            try:
                with disk_errors("write", claimed.path):
                    os.close(os.open(claimed.path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o644))
            except RunFailure as error:
                if isinstance(error.__cause__, FileExistsError):
                    continue  # another process was faster
                raise
            if claimed._begin():
                return claimed
        raise InUse(None)

    def check(self) -> None:
        """Validate that the lock is still this process's: another may take it over after a long suspension.

        Raises:
            RunFailure: Another process has it.
        """
        newest = max(self._number, _newest(self._lock))
        owner = read_owner(_path(self._lock, newest)).owner
        if newest > self._number or owner not in (None, self._owner):
            raise RunFailure(
                f"{self._lock.parent} was taken over by {owner or 'another process'}, because this process did not "
                f"refresh {self.path.name} for {STALE_SECONDS:.0f} s"
            )

    def close(self) -> None:
        """Release the lock."""
        self._closed.set()
        with self._mutex, contextlib.suppress(OSError):
            self._write(RELEASED)

    def _begin(self) -> bool:
        """Name this process in the file; return False if a later one has been made, since the number was used before.

        That is the case if the file of this number had been removed in the meantime.
        """
        try:
            with disk_errors("write", self.path):
                self._write(self._owner.to_text(0))
            if _newest(self._lock) > self._number:
                self.close()
                return False
            self._start_refreshing()
        except BaseException:
            self.close()
            raise
        for number in _numbers(self._lock):
            if number < self._number:
                with contextlib.suppress(OSError):
                    _path(self._lock, number).unlink()
        return True

    def _start_refreshing(self) -> None:
        try:
            threading.Thread(target=self._refresh, name="surefoot-lock", daemon=True).start()
        except RuntimeError as error:  # a limit of threads or memory
            raise RunFailure(f"cannot start the thread that refreshes {self.path}: {error}") from error

    def _refresh(self) -> None:
        for beat in itertools.count(1):
            if self._closed.wait(REFRESH_SECONDS):
                return
            with self._mutex, contextlib.suppress(OSError):  # a network file system may be away for a while
                if not self._closed.is_set():
                    self._write(self._owner.to_text(beat), os.O_CREAT)  # again if it was removed

    def _write(self, text: str, flags: int = 0) -> None:
        descriptor = os.open(self.path, _FLAGS | flags, 0o644)
        try:
            os.ftruncate(descriptor, os.pwrite(descriptor, text.encode(), 0))
        finally:
            os.close(descriptor)


def holder_of(lock: Path) -> Owner | None:
    """Return who seems to hold a lock, without waiting or writing; None if it is free."""
    newest = _newest(lock)
    if not newest:
        return None
    found = read_owner(_path(lock, newest))
    alive = found.is_alive()
    fresh = found.modified is not None and abs(time.time() - found.modified) < STALE_SECONDS
    return (found.owner or Owner()) if alive or (alive is None and fresh) else None


def is_owner_file(name: str, lock: str) -> bool:
    """Return whether a file's name is that of an owner file of a lock."""
    return re.fullmatch(rf"{re.escape(lock)}-\d{{1,9}}", name, re.ASCII) is not None


def require_free(lock: Path) -> int:
    """Validate that no owner file holds a lock; return the number of the newest.

    Raises:
        InUse: One does.
    """
    newest = _newest(lock)
    if newest and (held := _held(_path(lock, newest))):
        raise InUse(held.owner)
    return newest


def _held(path: Path) -> OwnerText | None:
    """Return a file's content if its lock is held, else None."""
    found = read_owner(path)
    alive = found.is_alive()
    if alive is not None or found.modified is None:
        return found if alive else None
    if abs(time.time() - found.modified) < STALE_SECONDS:
        return found
    # It was not refreshed, or the clocks of the machines and of the file system differ.
    time.sleep(2 * REFRESH_SECONDS + 1)
    return None if read_owner(path) == found else found


def _path(lock: Path, number: int) -> Path:
    return lock.with_name(f"{lock.name}-{number}")


def _newest(lock: Path) -> int:
    """Return the number of the newest file; 0 if there is none."""
    return max(_numbers(lock), default=0)


def _numbers(lock: Path) -> list[int]:
    try:
        names = os.listdir(lock.parent)
    except OSError:
        return []
    return [int(name.rpartition("-")[2]) for name in names if is_owner_file(name, lock.name)]
