"""What a finding is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
"""error: training would fail, or learn something wrong. warning: it may, or something else suffers. info: know this."""


@dataclass(frozen=True)
class Kind:
    """What is known about a finding before any environment is looked at.

    Attributes:
        severity: how bad it is, where the check that finds it does not say otherwise.
        title: what it is.
        effect: what it does to learning.
        remedy: how to mend it.
    """

    severity: Severity
    title: str
    effect: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: its name, a key of `KINDS`, the same in every version.
        severity: how bad it is.
        title: what it is.
        seen: the value seen, and where.
        effect: what it does to learning.
        remedy: how to mend it.
    """

    code: str
    severity: Severity
    title: str
    seen: str
    effect: str
    remedy: str
