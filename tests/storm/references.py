"""Uninterrupted runs, to compare others with."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.storm.comparison import differences
from tests.storm.processes import Job, Outcome, Warm

STARTS_AGAIN = "this run was stopped before its first checkpoint: it starts again"


class References:
    """Uninterrupted runs of each variant, made when they are needed.

    Args:
        folder: Where to make them.
        warm: Process that makes them.
    """

    def __init__(self, folder: Path, warm: Warm) -> None:
        self._folder, self._warm = folder, warm
        self._counts: dict[str, dict[tuple[str, str], int]] = {}
        self._messages: dict[str, set[str]] = {}

    def path(self, variant: str) -> Path:
        """Return the uninterrupted run."""
        out = self._folder / variant
        if variant not in self._counts:
            outcome = self._run(variant, out)
            self._counts[variant] = dict(outcome.counts)
            self._messages[variant] = {*outcome.messages, STARTS_AGAIN}
            resumed = self._resume(variant, out)
            self._counts[variant] |= {key: count for key, count in resumed.counts.items() if key[0] == "restore"}
        return out

    def counts(self, variant: str) -> dict[tuple[str, str], int]:
        """Return the calls of the uninterrupted run by phase and place; those of "restore" are of a resumed run."""
        self.path(variant)
        return self._counts[variant]

    def unexpected(self, variant: str, outcome: Outcome) -> list[str]:
        """Return the messages of a run that the uninterrupted one had not, and that a kill does not explain."""
        return [f"a message: {line}" for line in outcome.messages if line not in self._messages[variant]]

    def _resume(self, variant: str, out: Path) -> Outcome:
        """Resume a copy of a finished run from its last checkpoint but one."""
        copy = self._folder / f"{variant}-resumed"
        shutil.copytree(out, copy)
        shutil.rmtree(max((copy / "checkpoints").iterdir()))
        outcome = self._run(variant, copy)
        if lines := differences(out, copy):
            raise RuntimeError(f"the resumed run differs from the uninterrupted one: {lines}")
        shutil.rmtree(copy)
        return outcome

    def _run(self, variant: str, out: Path) -> Outcome:
        outcome = self._warm.run(Job(variant, out))
        if not outcome.completed:
            raise RuntimeError(f"the uninterrupted run failed: {outcome.error or outcome.trace}")
        return outcome
