"""Curves of a run for dashboards: one per seed, and their mean."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from surefoot.errors import UserError
from surefoot.runs.csvread import COUNTERS, LogTail
from surefoot.runs.untrusted import require_regular

MEAN = "mean"
"""Name of the series of means over seeds."""

_EVALUATION = ("return", "score", "success_any", "success_last", "length_env_steps")
_Values = dict[str, list[float]]


@dataclass(frozen=True)
class LogPoint:
    """All measurements of a run at one env step.

    Attributes:
        env_steps: Simulator control steps per seed: the x axis.
        agent_steps: Agent steps (decisions) per seed.
        grad_steps: Critic updates per seed.
        wall_seconds: Training time since the run's start, resumed parts included.
        series: "seed_3" or "mean" -> metric ("evaluation/return", "training/critic_loss") -> a finite value. A metric
            that was not measured, or is not finite, is absent; "mean" is over the seeds that have it.
    """

    env_steps: int
    agent_steps: int
    grad_steps: int
    wall_seconds: float
    series: Mapping[str, Mapping[str, float]]


class LogFollower:
    """Converts the rows that a run adds to its logs into points, in order, each exactly once.

    Args:
        path: Run directory whose logs only grow while this object is used.
    """

    def __init__(self, path: Path) -> None:
        self._required = {"training": path / "training.csv", "evaluation": path / "evaluations.csv"}
        self._tails = {
            "training": LogTail(self._required["training"], COUNTERS, all_columns=True),
            "diagnostics": LogTail(path / "diagnostics.csv", COUNTERS, all_columns=True),
            "evaluation": LogTail(self._required["evaluation"], (*COUNTERS, *_EVALUATION)),
        }

    def new_points(self, leave_out: Callable[[str], None] | None = None) -> list[LogPoint]:
        """Return the points since the last call by rising env_steps.

        Args:
            leave_out: Called with one line for each log that is missing or damaged; None makes that an error.

        Raises:
            UserError: A log is missing or damaged, or all are.
        """
        builders: dict[int, _PointBuilder] = defaultdict(_PointBuilder)
        problems: list[UserError] = []
        for prefix, tail in self._tails.items():
            try:
                if prefix in self._required:
                    require_regular(self._required[prefix])
                rows = tail.read().rows
            except UserError as error:
                if leave_out is None:
                    raise
                problems.append(error)
                continue
            for row in rows:
                builders[int(row["env_steps"])].add(row, prefix)
        if problems and not builders:
            raise problems[0]
        for problem in problems:
            assert leave_out is not None
            leave_out(str(problem))
        return [builders[env_steps].build() for env_steps in sorted(builders)]


class _PointBuilder:
    """Rows of one point, before they are averaged."""

    def __init__(self) -> None:
        self._counters = dict.fromkeys(COUNTERS, 0.0)
        self._seeds: dict[int, _Values] = defaultdict(lambda: defaultdict(list))

    def add(self, row: Mapping[str, float], prefix: str) -> None:
        """Add a row: an episode of an evaluation, a logging interval, or a diagnosis."""
        values = self._seeds[int(row["seed"])]
        # Episodes of a seed that diverged are of zero actions.
        diverged = prefix == "evaluation" and math.isnan(row["return"])
        for name, value in row.items():
            if name in COUNTERS:
                self._counters[name] = max(self._counters[name], value)
            elif not (diverged and math.isfinite(value)):
                values[f"{prefix}/{name}"].append(value)

    def build(self) -> LogPoint:
        """Return the means over each seed's episodes, and over the seeds."""
        series = {f"seed_{seed}": _finite_means(self._seeds[seed].items()) for seed in sorted(self._seeds)}
        all_seeds: _Values = defaultdict(list)
        for values in series.values():
            for name, value in values.items():
                all_seeds[name].append(value)
        return LogPoint(
            env_steps=int(self._counters["env_steps"]),
            agent_steps=int(self._counters["agent_steps"]),
            grad_steps=int(self._counters["grad_steps"]),
            wall_seconds=self._counters["wall_seconds"],
            series={**series, MEAN: _finite_means(all_seeds.items())},
        )


def _finite_means(values: Iterable[tuple[str, list[float]]]) -> dict[str, float]:
    """Return the mean of each list, without those that are not finite, such as a diverged seed's returns."""
    means = {name: sum(numbers) / len(numbers) for name, numbers in values}
    return {name: mean for name, mean in means.items() if math.isfinite(mean)}
