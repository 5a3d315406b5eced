"""Numbers, durations, counts and names as a person reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Number:
    """A value, with its interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Return it for a person."""
        if math.isnan(self.value):
            return "–"
        value = _digits(self.value)
        return (
            value if self.low is None or self.high is None else f"{value} [{_digits(self.low)}, {_digits(self.high)}]"
        )


def _digits(value: float) -> str:
    """Return three decimals of a score between 0 and 1, fewer of a return."""
    return f"{value:.3f}" if abs(value) < 10.0 else f"{value:.1f}" if abs(value) < 1000.0 else f"{value:,.0f}"


def counted(count: int | str, thing: str) -> str:
    """Return "1 seed", "3 seeds", "3 to 5 seeds"."""
    return f"{count} {thing}{'' if str(count) == '1' else 's'}"


def seeds_text(seeds: Sequence[int]) -> str:
    """Return how many seeds tasks have: "5", or "3 to 5" where they differ."""
    return str(seeds[0]) if len(set(seeds)) == 1 else f"{min(seeds)} to {max(seeds)}"


def duration(seconds: float) -> str:
    """Return a duration."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"


def joined(values: Iterable[Any]) -> str:
    """Return different values once each, in order."""
    return ", ".join(str(value) for value in sorted(set(values)))


def file_name(text: str) -> str:
    """Return a name that any file system takes, of one that a file gave."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:100].lstrip(".") or "unnamed"


def file_names(texts: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return a name for each text, no two alike in a file system that ignores case."""
    names: dict[str, str] = {}
    used = {name.lower() for name in taken}
    for text in texts:
        name, number = file_name(text), 1
        while name.lower() in used:
            number += 1
            name = f"{file_name(text)}-{number}"
        used.add(name.lower())
        names[text] = name
    return names
