"""Locks of directories, so that one process at a time trains in each run and launches each grid."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from surefoot.errors import UserError
from surefoot.runs.atomic import disk_errors
from surefoot.runs.owner import RELEASED, Owner, read_owner, this_process
from surefoot.runs.owner_files import REFRESH_SECONDS, InUse, OwnerFile, holder_of, is_owner_file, require_free
from surefoot.text import printable

_RETRY_SECONDS = 0.05
"""Delay before a second attempt, far longer than ``surefoot watch`` holds a lock to test it."""


class RunLock:
    """A lock that its process holds until it releases it or ends, however it ends.

    It is an advisory lock (flock), which the kernel releases. On a file system without such locks, it is a file that
    names its owner; see ``owner_files``. Either kind excludes the other, since machines that share a file system may
    differ.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hold: _Hold | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._hold is not None

    @property
    def note(self) -> str | None:
        """What the user should know about a held lock, in one line; None for an ordinary one."""
        return None if self._hold is None else self._hold.note

    def acquire(self) -> None:
        """Take the lock without waiting, except for seconds where a file's owner may be dead.

        Raises:
            UserError: Another process holds it (the message names it), or the lock file cannot be opened.
            RunFailure: The lock file cannot be written.
        """
        try:
            # No link is followed: the file is truncated below, and in an untrusted run it may be a link to any other.
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise UserError(f"cannot lock {self._path.parent}: {error.strerror}") from error
        try:
            hold = _Hold(self._path, descriptor)
            try:
                hold.acquire()
            except BaseException:
                hold.release()
                raise
        except InUse as error:
            owner = error.owner or Owner()
            raise UserError(f"{self._path.parent} is in use by {owner}; wait until it ends, or stop it") from error
        self._hold = hold

    def check(self) -> None:
        """Validate that no other process has taken over the lock, which a long suspension permits without flock.

        Raises:
            RunFailure: Another process has it.
        """
        if self._hold is not None:
            self._hold.check()

    def release(self) -> None:
        """Release the lock, if it is held. The lock file stays, since its removal would race with other processes."""
        if self._hold is not None:
            hold, self._hold = self._hold, None
            hold.release()

    def keep(self) -> Callable[[], None]:
        """Keep a held lock until the returned function is called, also after ``release``.

        For background threads that may outlive the code that took the lock.
        """
        return (lambda: None) if self._hold is None else self._hold.keep()

    def remove(self) -> None:
        """Remove the files of a held lock and release it. For directories that this process alone has created."""
        if self._hold is not None:
            for entry in list(self._path.parent.iterdir()):
                if is_lock_file(entry.name, self._path.name):
                    entry.unlink(missing_ok=True)
            self.release()


class _Hold:
    """A lock until the last of its users is done.

    Args:
        path: File of the lock.
        descriptor: The same file, open.

    Attributes:
        note: See ``RunLock.note``.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.note: str | None = None
        self._path, self._descriptor = path, descriptor
        self._locked = False
        self._owner_file: OwnerFile | None = None
        self._mutex, self._users = threading.Lock(), 1
        _holds.add(self)

    def acquire(self) -> None:
        """Take the lock.

        Of two processes that take it in different ways, at least one finds the other: each first shows its own claim
        and then looks for that of the other kind.

        Raises:
            InUse: Another process holds it.
            UserError: It cannot be determined whether another process holds it.
            RunFailure: The lock file cannot be written.
        """
        try:
            _flock(self._descriptor)
        except BlockingIOError as error:
            raise InUse(read_owner(self._path).owner) from error
        except OSError as error:
            self._owner_file = OwnerFile.acquire(self._path)
            _require_no_flock(self._path)
            self.note = (
                f"{printable(self._path.parent)} is on a file system without locks ({error.strerror}): its file "
                f"{self._owner_file.path.name}, renewed every {REFRESH_SECONDS:.0f} s, keeps other processes out"
            )
            return
        self._locked = True
        with disk_errors("write", self._path):
            _write(self._descriptor, this_process().to_text(0))
        require_free(self._path)

    def keep(self) -> Callable[[], None]:
        """Add a user; return the function that ends its use."""
        done: list[bool] = []

        def end() -> None:
            if not done:
                done.append(True)
                self.release()

        with self._mutex:
            self._users += 1
        return end

    def release(self) -> None:
        """End the use of one user."""
        with self._mutex:
            self._users -= 1
            if self._users:
                return
            if self._owner_file is not None:
                self._owner_file.close()
            if self._locked:
                with contextlib.suppress(OSError):
                    _write(self._descriptor, RELEASED)
            os.close(self._descriptor)

    def check(self) -> None:
        """See ``RunLock.check``."""
        if self._owner_file is not None:
            self._owner_file.check()

    def abandon(self) -> None:
        """Leave the lock to the parent, in a forked child, where the descriptor would keep a dead run locked."""
        if self._users > 0:
            os.close(self._descriptor)
        self._mutex, self._users = threading.Lock(), 1 << 30  # releasing it has no effect


def _require_no_flock(path: Path) -> None:
    """Validate that the lock was not taken by flock, which does not work here, by another machine or at another time.

    Raises:
        InUse: It was.
        UserError: It was, and whether its owner still runs cannot be determined from here.
    """
    found = read_owner(path)
    if found.owner is None or not found.owner.system or found.is_alive() is False:
        return
    if found.is_alive():
        raise InUse(found.owner)
    raise UserError(
        f"{path.parent} is locked by {found.owner}, and it is unknown whether that process still runs: if it has "
        f"ended, remove {path}"
    )


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, os.pwrite(descriptor, text.encode(), 0))


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
    except OSError:  # a file system without locks, where another machine may have them
        return holder_of(path) is not None or read_owner(path).is_alive() is True
    finally:
        os.close(descriptor)
    return holder_of(path) is not None


def is_lock_file(name: str, lock: str) -> bool:
    """Return whether a file's name is one that ``RunLock`` uses for a lock of this name."""
    return name == lock or is_owner_file(name, lock)


def _flock(descriptor: int) -> None:
    """Lock an open file exclusively; try twice, since another process may just be testing the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_RETRY_SECONDS)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_holds: weakref.WeakSet[_Hold] = weakref.WeakSet()


def _abandon_in_child() -> None:
    for hold in list(_holds):
        hold.abandon()


os.register_at_fork(after_in_child=_abandon_in_child)
