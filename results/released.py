"""Runs of the released values at full size, and the results of their authors."""

from __future__ import annotations

import csv
from collections import defaultdict
from fractions import Fraction
from functools import reduce
from importlib import resources
from pathlib import Path

import numpy as np

from surefoot.report.runs import ReportRun, load_runs

HERE = Path(__file__).parent
FOLDERS = ("as-released", "as-released-seed-2", "as-released-xqc", "xqc", "sac", "flashsac")
"""Folders of these runs; those that do not exist yet are skipped."""

NAMES = {"crossq-wn-code": "CrossQ + WN", "flashsac": "FlashSAC", "sac": "SAC", "xqc": "XQC"}
"""Preset -> name in authors.csv and in published.csv of the package."""


def released_runs() -> dict[tuple[str, str], list[ReportRun]]:
    """Return the runs of every task and preset; together they hold its seeds."""
    groups: dict[tuple[str, str], list[ReportRun]] = defaultdict(list)
    for run in load_runs([HERE / folder for folder in FOLDERS if (HERE / folder).exists()]):
        groups[run.task, run.name].append(run)
    return dict(sorted(groups.items()))


def all_seeds(runs: list[ReportRun]) -> tuple[np.ndarray, np.ndarray]:
    """Return the env steps that all runs evaluated [T], and the scores of all seeds [S, T], between 0 and 1."""
    steps = reduce(np.intersect1d, [run.env_steps for run in runs])
    return steps, np.concatenate([run.scores[:, np.isin(run.env_steps, steps)] for run in runs])


def authors_seeds(preset: str, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Return env steps [T] and returns [S, T] of a preset's authors on a task; T = 0 without any."""
    returns: dict[int, list[float]] = defaultdict(list)
    for row in _rows((HERE / "authors.csv").read_text(encoding="utf-8")):
        if (row["algorithm"], row["task"]) == (NAMES.get(preset), task):
            returns[int(row["env_steps"])].append(float(row["return"]))
    return np.array(list(returns)), np.array(list(returns.values())).T


def published_mean(name: str, utd: int | Fraction, task: str, env_steps: int) -> float | None:
    """Return a published mean return or success rate at a step, None without one."""
    text = (resources.files("surefoot.report") / "published.csv").read_text(encoding="utf-8")
    wanted = (name, str(utd), task, str(env_steps))
    for row in _rows(text):
        if (row["algorithm"], row["utd"], row["task"], row["env_steps"]) == wanted:
            return float(row["mean"])
    return None


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))
