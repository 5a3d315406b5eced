"""Algorithms against thresholds and against one another, at the ends of their runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.report.settings import Settings
from surefoot.report.statistics import Estimate, Scores, performance_profile, probability_of_improvement
from surefoot.report.wording import Number

if TYPE_CHECKING:
    from surefoot.report.views import View

_THRESHOLDS = np.linspace(0.0, 1.0, 51)


def thresholds() -> np.ndarray:
    """Return the scores at which performance profiles are taken."""
    return _THRESHOLDS


def profile(final: Scores, settings: Settings) -> Estimate:
    """Return the share of runs above each threshold."""
    return performance_profile(final, _THRESHOLDS, settings.generator(), settings.confidence, settings.resamples)


def improvement_rows(finals: Mapping[str, Scores], env_steps: int, settings: Settings) -> list[dict[str, Any]]:
    """Return a row for each pair of labels that share a task, all at the same env step."""
    rows = []
    for first, second in itertools.combinations(finals, 2):
        tasks = [task for task in finals[first].tasks if task in finals[second].tasks]
        if not tasks:
            continue
        pair = (finals[first].select(tasks), finals[second].select(tasks))
        found = probability_of_improvement(*pair, settings.generator(), settings.confidence, settings.resamples)
        rows.append(
            {
                "algorithm": first,
                "compared with": second,
                "probability of improvement": Number(float(found.value[0]), float(found.low[0]), float(found.high[0])),
                "env steps": env_steps,
                "tasks": int(found.tasks[0]),
                "runs of both": int(found.runs[0]),
            }
        )
    return rows


def improvement_matrix(rows: Sequence[dict[str, Any]]) -> tuple[list[str], np.ndarray]:
    """Return the labels, L of them, and P(row > column) with its interval as [L, L, 3]; NaN on the diagonal."""
    labels = list(dict.fromkeys(row[side] for side in ("algorithm", "compared with") for row in rows))
    table = np.full((len(labels), len(labels), 3), np.nan)
    for row in rows:
        i, j = labels.index(row["algorithm"]), labels.index(row["compared with"])
        number = row["probability of improvement"]
        table[i, j] = number.value, number.low, number.high
        table[j, i] = 1.0 - number.value, 1.0 - number.high, 1.0 - number.low
    return labels, table


def task_table(suite: View, tasks: Sequence[View]) -> list[dict[str, Any]]:
    """Return a row for each task of a suite, with each algorithm's score in a column of its own."""
    rows: list[dict[str, Any]] = []
    for view in tasks:
        if view.tasks[0] in suite.tasks:
            scores = {final.label: final.score for final in view.finals}
            rows.append({"task": view.tasks[0], **{f.label: scores.get(f.label, Number(np.nan)) for f in suite.finals}})
    return rows
