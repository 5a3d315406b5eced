"""Import hook that leaves only the base dependencies of surefoot importable.

Installed by ``sitecustomize`` in the processes that the tests start and in their worker processes. It is equivalent to
an environment with the wheel installed, without needing a package index.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib import metadata
from types import ModuleType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def base_distributions() -> set[str]:
    """Return the canonical names of surefoot and its requirements without extras."""
    found: set[str] = set()
    waiting = [("surefoot", frozenset[str]())]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(canonicalize_name(name))
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            wanted = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            )
            if wanted:
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return found


class Blocker(importlib.abc.MetaPathFinder):
    """Raises for modules of installed distributions that are not base dependencies."""

    def __init__(self) -> None:
        base = base_distributions()
        self._blocked = {
            module
            for module, owners in metadata.packages_distributions().items()
            if not base & {canonicalize_name(owner) for owner in owners}
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in self._blocked:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def install() -> None:
    sys.meta_path.insert(0, Blocker())
