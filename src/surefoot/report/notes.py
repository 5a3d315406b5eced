"""What a reader must know before comparing: what is missing, unfinished or unequal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surefoot.report.runs import ReportRun
from surefoot.report.statistics import Scores
from surefoot.report.wording import counted, joined


def left_out(
    suite: str, title: str, tasks: Sequence[str], compared: Mapping[str, Any], groups: Mapping[str, list[ReportRun]]
) -> list[str]:
    """Return a line for each label that a suite's view leaves out, and one for the tasks that not all labels have."""
    lines = [
        f"{label} is left out of {title}: it has scores on one of them or none"
        for label, runs in groups.items()
        if label not in compared and any(run.suite == suite for run in runs)
    ]
    there = {run.task for label in compared for run in groups[label] if run.suite == suite}
    if others := sorted(there - set(tasks)):
        lines.append(f"{title} leaves out what not all its algorithms have scores on: {', '.join(others)}")
    return lines


def unequal_seeds(label: str, scores: Scores) -> list[str]:
    """Return a line where tasks have different numbers of seeds, or only one, which no interval can be made of."""
    if set(scores.seeds) == {1}:
        return [f"{label} has a single seed: its intervals say nothing of other seeds"]
    if len(set(scores.seeds)) == 1:
        return []
    told = ", ".join(f"{task} {count}" for task, count in zip(scores.tasks, scores.seeds, strict=True))
    return [f"{label} has unequal numbers of seeds: {told}"]


def remarks(groups: Mapping[str, list[ReportRun]]) -> list[str]:
    """Return a line for each run that is unfinished or lacks an evaluation, and for what does not match."""
    lines = [_unfinished(run) for runs in groups.values() for run in runs if not run.finished]
    for label, runs in groups.items():
        lines += [line for run in runs for line in _gaps(run)]
        seeds = Counter((run.task, seed) for run in runs for seed in run.seeds)
        lines += [
            f"{label}: seed {seed} of {task} counts {count} times" for (task, seed), count in seeds.items() if count > 1
        ]
    for task in sorted({run.task for runs in groups.values() for run in runs}):
        own = [run for runs in groups.values() for run in runs if run.task == task]
        if len(lengths := {run.total_env_steps for run in own}) > 1:
            lines.append(f"{task} was trained for different lengths: {joined(lengths)} env steps")
        if len(protocols := {str(run.protocol) for run in own}) > 1:
            lines.append(f"{task} has different protocols between algorithms: {'; '.join(sorted(protocols))}")
    return lines


def _gaps(run: ReportRun) -> list[str]:
    """Return a line for each seed that lacks an evaluation which its run made."""
    missing = np.isnan(run.scores).sum(axis=1)
    return [
        f"{run.path}: seed {seed} lacks {gaps} of {counted(len(run.env_steps), 'evaluation')}"
        for seed, gaps in zip(run.seeds, missing.tolist(), strict=True)
        if gaps
    ]


def _unfinished(run: ReportRun) -> str:
    last = run.last_env_step
    reached = "not evaluated yet" if last is None else f"evaluated up to env step {last:,} of {run.total_env_steps:,}"
    return f"{run.path} is unfinished ({run.state}): {reached}"
