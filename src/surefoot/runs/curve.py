"""The evaluation curve of a run that may still be going."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surefoot.runs.tail import LogTail


@dataclass(frozen=True)
class EvaluationSummary:
    """One evaluation of all seeds.

    Attributes:
        env_steps: simulator control steps per seed when it began.
        returns: per seed, the mean undiscounted return over its episodes; NaN for a seed that diverged.
        scores: per seed, the mean score over its episodes; NaN for a seed that diverged.
    """

    env_steps: int
    returns: tuple[float, ...]
    scores: tuple[float, ...]

    @property
    def diverged(self) -> int:
        """How many seeds have no score any more."""
        return sum(map(math.isnan, self.scores))

    @property
    def score(self) -> float:
        """Mean score over the seeds that did not diverge; NaN where all did."""
        known = [score for score in self.scores if not math.isnan(score)]
        return sum(known) / len(known) if known else math.nan


class Evaluations:
    """The evaluations of one run, summed up row by row as they appear.

    Args:
        path: its evaluations.csv, which may appear later.
    """

    def __init__(self, path: Path) -> None:
        self._log = LogTail(path, ("seed", "env_steps", "return", "score", "wall_seconds"))
        # env_steps -> seed -> episodes, the sum of their returns, of their scores
        self._sums: dict[int, dict[int, list[float]]] = {}
        self._summaries: dict[int, EvaluationSummary] = {}
        self.wall_seconds = 0.0
        """The run's age at its last evaluation, resumed parts added up."""

    @property
    def changed(self) -> float:
        """When the file last grew, in seconds since the epoch."""
        return self._log.changed

    def read(self, seeds: Sequence[int]) -> tuple[EvaluationSummary, ...]:
        """Return all evaluations so far, in order."""
        again, rows = self._log.read()
        if again:
            self._sums.clear()
            self._summaries.clear()
            self.wall_seconds = 0.0
        touched = set()
        for seed, env_steps, episode_return, score, wall_seconds in rows:
            sums = self._sums.setdefault(int(env_steps), {}).setdefault(int(seed), [0, 0.0, 0.0])
            sums[0] += 1
            sums[1] += episode_return
            sums[2] += score if not math.isnan(episode_return) else math.nan  # success is defined after a divergence
            self.wall_seconds = max(self.wall_seconds, wall_seconds)
            touched.add(int(env_steps))
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
