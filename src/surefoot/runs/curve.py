"""Evaluation curve of a run, which may still be running."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surefoot.runs.csvread import LogTail


@dataclass(frozen=True)
class EvaluationSummary:
    """One evaluation of all seeds.

    Attributes:
        env_steps: Simulator control steps per seed at its start.
        returns: Mean undiscounted return over the episodes of each seed; NaN for a diverged seed.
        scores: Mean score over the episodes of each seed; NaN for a diverged seed.
    """

    env_steps: int
    returns: tuple[float, ...]
    scores: tuple[float, ...]

    @property
    def diverged(self) -> int:
        """Number of seeds without a score."""
        return sum(map(math.isnan, self.scores))

    @property
    def score(self) -> float:
        """Mean score over the seeds that did not diverge; NaN if all did."""
        known = [score for score in self.scores if not math.isnan(score)]
        return sum(known) / len(known) if known else math.nan


class EvaluationCurve:
    """Incremental summary of a run's evaluations.

    Args:
        path: The run's evaluations.csv, which may appear later.
    """

    def __init__(self, path: Path) -> None:
        self._log = LogTail(path, ("seed", "env_steps", "return", "score", "wall_seconds"))
        # env_steps -> seed -> number of episodes, sum of returns, sum of scores
        self._sums: dict[int, dict[int, list[float]]] = {}
        self._summaries: dict[int, EvaluationSummary] = {}
        self.wall_seconds = 0.0
        """Training time up to the last evaluation, resumed parts included."""

    @property
    def changed(self) -> float:
        """Time of the last write in seconds since the epoch."""
        return self._log.changed

    def read(self, seeds: Sequence[int]) -> tuple[EvaluationSummary, ...]:
        """Return all evaluations so far, in order of env_steps."""
        new = self._log.read()
        if new.restarted:
            self._sums.clear()
            self._summaries.clear()
            self.wall_seconds = 0.0
        touched = {int(row["env_steps"]) for row in new.rows}
        for row in new.rows:
            sums = self._sums.setdefault(int(row["env_steps"]), {}).setdefault(int(row["seed"]), [0, 0.0, 0.0])
            sums[0] += 1
            sums[1] += row["return"]
            sums[2] += row["score"]
            self.wall_seconds = max(self.wall_seconds, row["wall_seconds"])
        for env_steps in touched:
            self._summaries[env_steps] = _summary(env_steps, self._sums[env_steps], seeds)
        return tuple(self._summaries[env_steps] for env_steps in sorted(self._summaries))


def _summary(env_steps: int, sums: dict[int, list[float]], seeds: Sequence[int]) -> EvaluationSummary:
    known = [sums[seed] for seed in seeds if seed in sums]
    return EvaluationSummary(
        env_steps=env_steps,
        returns=tuple(total / count for count, total, _ in known),
        scores=tuple(total / count for count, _, total in known),
    )
