"""Remarks of a report on missing, unfinished and unequal runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from surefoot.report.runs import ReportRun
from surefoot.report.statistics import Scores
from surefoot.report.tables import counted, joined
from surefoot.text import printable


def left_out(
    suite: str, title: str, tasks: Sequence[str], compared: Collection[str], groups: Mapping[str, list[ReportRun]]
) -> Iterator[str]:
    """Yield a line for the labels that a suite's view leaves out, and one for the tasks."""
    others = [label for label, runs in groups.items() if label not in compared and any(r.suite == suite for r in runs)]
    if others:
        yield f"{title} leaves out algorithms without scores on all of them: {', '.join(others)}"
    present = {run.task for label in compared for run in groups[label] if run.suite == suite}
    if rest := sorted(present - set(tasks)):
        yield f"{title} leaves out tasks without scores of every algorithm in it: {', '.join(rest)}"


def unequal_seeds(label: str, scores: Scores) -> Iterator[str]:
    """Yield a line where tasks have different numbers of seeds, or a single one."""
    if set(scores.seeds) == {1}:
        yield f"{label} has a single seed: its intervals do not cover the variation between seeds"
    elif len(set(scores.seeds)) > 1:
        counts = ", ".join(f"{task} {count}" for task, count in zip(scores.tasks, scores.seeds, strict=True))
        yield f"{label} has unequal numbers of seeds: {counts}"


def remarks(groups: Mapping[str, list[ReportRun]]) -> Iterator[str]:
    """Yield a line for each unfinished run, missing evaluation, repeated seed and unequal length or protocol."""
    for run in (run for runs in groups.values() for run in runs if not run.finished):
        last = run.last_env_step
        reached = (
            "not evaluated yet" if last is None else f"evaluated up to env step {last:,} of {run.total_env_steps:,}"
        )
        yield f"{printable(run.path)} is unfinished ({run.state}): {reached}"
    for label, runs in groups.items():
        for run in runs:
            for seed, missing in zip(run.seeds, np.isnan(run.scores).sum(axis=1).tolist(), strict=True):
                if missing:
                    total = counted(len(run.env_steps), "evaluation")
                    yield f"{printable(run.path)}: seed {seed} lacks {missing} of {total}"
        seeds = Counter((run.task, seed) for run in runs for seed in run.seeds)
        for (task, seed), count in seeds.items():
            if count > 1:
                yield f"{label}: seed {seed} of {task} counts {count} times"
    for task in sorted({run.task for runs in groups.values() for run in runs}):
        own = [run for runs in groups.values() for run in runs if run.task == task]
        if len(lengths := {run.total_env_steps for run in own}) > 1:
            yield f"{task} was trained for different lengths: {joined(lengths)} env steps"
        if len(protocols := {str(run.protocol) for run in own}) > 1:
            yield f"{task} has different protocols between algorithms: {'; '.join(sorted(protocols))}"
