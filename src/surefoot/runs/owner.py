"""Owners of locks, as their files name them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from surefoot.runs.untrusted import quoted

RELEASED = '{"released": true}\n'
"""Text of a free lock."""

_MAX_BYTES = 4096


@dataclass(frozen=True)
class Owner:
    """A process that holds a lock.

    Attributes:
        pid: Its id; 0 if unknown.
        host: Name of its machine.
        system: Identity of what gives its id a meaning: the boot of its machine, and its container.
        started: When it started, in a unit of the system's; empty if unknown. Ids are used again.
    """

    pid: int = 0
    host: str = ""
    system: str = ""
    started: str = ""

    def __str__(self) -> str:
        elsewhere = f" on {quoted(self.host)}" if self.host and self.host != socket.gethostname() else ""
        return f"process {self.pid or 'unknown'}{elsewhere}"

    def to_text(self, beat: int) -> str:
        """Return the content of a lock file; a different one for each ``beat``."""
        return json.dumps({**asdict(self), "beat": beat}) + "\n"

    def is_alive(self) -> bool | None:
        """Return whether the process still runs; None if that cannot be determined from here."""
        if not self.system or self.system != _this_system():
            return None
        with contextlib.suppress(PermissionError):  # another user's
            try:
                os.kill(self.pid, 0)
            except (ProcessLookupError, OverflowError):
                return False
        state, started = _state_and_start(self.pid)
        return state != "Z" and (started == self.started or not started or not self.started)


@dataclass(frozen=True)
class OwnerText:
    """Content of a lock file.

    Attributes:
        owner: The process it names; None for none.
        released: Whether it records the release of the lock.
        beat: Number of refreshes.
        modified: Time of its last change in seconds; None if it cannot be read.
    """

    owner: Owner | None = None
    released: bool = False
    beat: int = 0
    modified: float | None = None

    def is_alive(self) -> bool | None:
        """Return whether the owner still runs and holds the lock; None if that cannot be determined from here."""
        if self.released:
            return False
        return None if self.owner is None else self.owner.is_alive()


def this_process() -> Owner:
    """Return this process as an owner."""
    return Owner(os.getpid(), socket.gethostname(), _this_system(), _state_and_start(os.getpid())[1])


def read_owner(path: Path) -> OwnerText:
    """Read a lock file, which is not trusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            content = os.pread(descriptor, _MAX_BYTES, 0) if stat.S_ISREG(status.st_mode) else b""
        finally:
            os.close(descriptor)
    except OSError:
        return OwnerText(modified=_modified(path))
    try:
        data = json.loads(content)
        if data.get("released") is True:
            return OwnerText(released=True, modified=status.st_mtime)
        texts = [str(data[name]) for name in ("host", "system", "started")]
        return OwnerText(Owner(_pid(data["pid"]), *texts), beat=int(data["beat"]), modified=status.st_mtime)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return OwnerText(modified=status.st_mtime)


def _modified(path: Path) -> float | None:
    try:
        return path.lstat().st_mtime
    except OSError:
        return None


def _pid(value: int) -> int:
    if not isinstance(value, int) or not 0 < value < 2**31:
        raise ValueError(f"no process id: {value!r}")
    return value


def _this_system() -> str:
    """Return the identity of the running system and container; on macOS, of the machine."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "" if Path("/proc/self").exists() else socket.gethostname()


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return a process's state ("Z" after its death) and start time in ticks since the boot; empty if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode(), fields[19].decode()
    except (OSError, IndexError):
        return "", ""
