"""Limits of this process's control groups, versions 1 and 2: of a container, a cluster job, or a service."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")
"""Root of the file system that limits are read from."""

_USUAL_PLACE = "/sys/fs/cgroup"


class _Group(NamedTuple):
    """A group that contains this process.

    Attributes:
        folder: Folder of its files.
        version: 1 or 2.
    """

    folder: Path
    version: int


def cpu_quota() -> float | None:
    """Return how many cores' time this process's groups may use together with others in them; None without a limit."""
    quotas = [_quota(group) for group in _groups("cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit() -> int | None:
    """Return the bytes of main memory that this process's groups may use; None without a limit."""
    limits = [_memory_limit(group) for group in _groups("memory")]
    return min((limit for limit in limits if limit is not None), default=None)


def free_memory() -> int | None:
    """Return the bytes left until the first of this process's groups reaches its limit; None without a limit."""
    left = []
    for group in _groups("memory"):
        limit, used = _memory_limit(group), _used_memory(group)
        if limit is not None and used is not None:
            left.append(max(0, limit - used))
    return min(left, default=None)


def _quota(group: _Group) -> float | None:
    if group.version == 2:
        fields = _read(group.folder / "cpu.max").split()  # "max 100000" without a limit
        quota, period = (_number(field) for field in [*fields, "", ""][:2])
    else:
        quota, period = (_number(_read(group.folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return quota / period if quota and period else None


def _memory_limit(group: _Group) -> int | None:
    if group.version == 2:
        # Above "high", the kernel slows the group down until it has freed memory.
        limits = [_number(_read(group.folder / f"memory.{name}")) for name in ("max", "high")]
    else:
        # The hierarchical limit includes groups that are not visible in a container.
        own = _number(_read(group.folder / "memory.limit_in_bytes"))
        limits = [own, _statistics(group).get("hierarchical_memory_limit")]
    # Without a limit, version 1 has the largest multiple of a page below 2**63.
    return min((limit for limit in limits if limit is not None and limit < 2**62), default=None)


def _used_memory(group: _Group) -> int | None:
    """Return the bytes in use, without inactive page cache, which is reclaimed under memory pressure."""
    used = _number(_read(group.folder / ("memory.current" if group.version == 2 else "memory.usage_in_bytes")))
    if used is None:
        return None
    return used - _statistics(group).get("inactive_file" if group.version == 2 else "total_inactive_file", 0)


def _statistics(group: _Group) -> dict[str, int]:
    fields = (line.split() for line in _read(group.folder / "memory.stat").splitlines())
    return {pair[0]: int(pair[1]) for pair in fields if len(pair) == 2 and pair[1].isdecimal()}


def _groups(controller: str) -> Iterator[_Group]:
    """Yield this process's groups that a controller may limit, each with its visible ancestors.

    Both versions may be mounted; a group has the files of a controller in one of them only.
    """
    if not sys.platform.startswith("linux"):
        return
    paths = dict(_paths())
    for version, controllers, root, mount in _mounts():
        if version == 1 and controller not in controllers:
            continue
        own = paths.get(controller if version == 1 else "")
        if own is None:
            continue
        # In a container, the group may be named as on the host, and be mounted as the top.
        inside = own == root or own.startswith(f"{root.rstrip('/')}/")
        if not inside and not mount.startswith(_USUAL_PLACE):
            continue  # another group's
        top = ROOT / mount.lstrip("/")
        parts = [part for part in own.removeprefix(root.rstrip("/")).split("/") if part] if inside else []
        if ".." in parts:  # outside of the container's name space
            parts = []
        for count in range(len(parts), -1, -1):
            yield _Group(top.joinpath(*parts[:count]), version)


def _paths() -> Iterator[tuple[str, str]]:
    """Yield the path of this process's group by controller; that of version 2 by an empty name."""
    for line in _read(ROOT / "proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            for controller in fields[1].split(","):
                yield controller, fields[2]


def _mounts() -> Iterator[tuple[int, tuple[str, ...], str, str]]:
    """Yield version, controllers, the group mounted as the top, and place of each mounted hierarchy."""
    for line in _read(ROOT / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) >= 5 and len(kind) >= 3 and kind[0] in ("cgroup", "cgroup2"):
            version = 2 if kind[0] == "cgroup2" else 1
            yield version, tuple(kind[2].split(",")), _unescaped(fields[3]), _unescaped(fields[4])


def _unescaped(text: str) -> str:
    """Return a path of mountinfo, where blanks are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _read(path: Path) -> str:
    """Return a file's text; empty if it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def _number(text: str) -> int | None:
    """Return a whole number of 0 or more; None for "max", -1 (no limit) and anything else."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() else None
