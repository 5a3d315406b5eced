"""From a run's rows to the curves that a dashboard draws: one per seed, and their mean."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from surefoot.dashboards.rows import COUNTERS, LogTail

MEAN = "mean"
"""Name of the series that holds the mean over seeds."""

_EVALUATION = ("return", "score", "success_any", "success_last", "length_env_steps")
_Values = dict[str, list[float]]


@dataclass(frozen=True)
class LogPoint:
    """Everything that was measured when a run stood at one env step.

    Attributes:
        env_steps: simulator control steps per seed: the x axis.
        agent_steps: decisions per seed.
        grad_steps: critic updates per seed.
        wall_seconds: since the run began, resumed parts added up.
        series: "seed_3" or "mean" -> metric ("evaluation/return", "training/critic_loss") -> a finite value. A metric
            that was not measured, or is not finite, is absent; "mean" is over the seeds that have it.
    """

    env_steps: int
    agent_steps: int
    grad_steps: int
    wall_seconds: float
    series: Mapping[str, Mapping[str, float]]


class Follower:
    """Turns the rows that a run adds to its logs into moments, in order, each exactly once.

    Rows are only ever read from the files: what a dashboard shows is what the run directory holds.

    Args:
        path: a run directory whose logs only grow while this object is used, by all seeds' rows of one kind at a time.
        beside_every: env_steps between evaluations that are played beside training, whose rows come after later ones
            of the other logs: these are kept back until the evaluation that is due is there.
        evaluated: the env step up to which every evaluation that was due is there.
    """

    def __init__(self, path: Path, beside_every: int | None = None, evaluated: int = 0) -> None:
        self._beside_every, self._evaluated = beside_every, evaluated
        self._gathered: dict[int, _Gathering] = defaultdict(_Gathering)
        self._evaluations = LogTail(path / "evaluations.csv", _EVALUATION)
        self._training = LogTail(path / "training.csv")
        diagnostics = path / "diagnostics.csv"
        self._diagnostics = LogTail(diagnostics) if diagnostics.exists() else None

    def new_moments(self, last: bool = False) -> list[LogPoint]:
        """Return the moments since the last call by rising env_steps.

        Args:
            last: no more rows will come.

        Raises:
            UserError: a log is missing or damaged.
        """
        gathered = self._gathered
        for row in self._training.new_rows():
            gathered[int(row["env_steps"])].add(row, "training", (name for name in row if name not in COUNTERS))
        for row in self._diagnostics.new_rows() if self._diagnostics else ():
            gathered[int(row["env_steps"])].add(row, "diagnostics", (name for name in row if name not in COUNTERS))
        for row in self._evaluations.new_rows():
            self._evaluated = max(self._evaluated, int(row["env_steps"]))
            gathered[int(row["env_steps"])].add(row, "evaluation", _EVALUATION)
        due = math.inf
        if self._beside_every is not None and not last:
            due = (self._evaluated // self._beside_every + 1) * self._beside_every
        return [gathered.pop(env_steps).finish() for env_steps in sorted(gathered) if env_steps < due]


class _Gathering:
    """The rows of one moment, before they are averaged."""

    def __init__(self) -> None:
        self._counters = dict.fromkeys(COUNTERS, 0.0)
        self._seeds: dict[int, _Values] = defaultdict(lambda: defaultdict(list))

    def add(self, row: Mapping[str, float], prefix: str, names: Iterable[str]) -> None:
        """Take the named cells of a row: an episode of an evaluation, or a logging interval."""
        for name in COUNTERS:
            self._counters[name] = max(self._counters[name], row[name])
        values = self._seeds[int(row["seed"])]
        for name in names:
            values[f"{prefix}/{name}"].append(row[name])

    def finish(self) -> LogPoint:
        """Average over each seed's episodes, then over the seeds."""
        series = {f"seed_{seed}": _finite_means(self._seeds[seed]) for seed in sorted(self._seeds)}
        together: _Values = defaultdict(list)
        for values in series.values():
            for name, value in values.items():
                together[name].append(value)
        return LogPoint(
            env_steps=int(self._counters["env_steps"]),
            agent_steps=int(self._counters["agent_steps"]),
            grad_steps=int(self._counters["grad_steps"]),
            wall_seconds=self._counters["wall_seconds"],
            series={**series, MEAN: _finite_means(together)},
        )


def _finite_means(values: _Values) -> dict[str, float]:
    """The mean of each list; lists whose mean is not finite, such as a diverged seed's returns, are left out."""
    means = {name: sum(numbers) / len(numbers) for name, numbers in values.items()}
    return {name: mean for name, mean in means.items() if math.isfinite(mean)}
