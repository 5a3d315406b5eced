"""``surefoot evaluate``: evaluation of a run's saved policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.cli.listing import print_table
from surefoot.cli.options import Int, RunPath, RunTask, WorkersInt
from surefoot.streams import emit_json

if TYPE_CHECKING:
    from surefoot.training.evaluation import EvaluationResult


@dataclass(frozen=True)
class Evaluate:
    """Evaluate each seed's saved policy with deterministic actions."""

    path: RunPath
    """Run directory."""
    episodes: Int = 5
    """Episodes per seed; episode e is the same in every evaluation."""
    task: RunTask = None
    """Task of the run, required where it is module:callable, since a run directory is not trusted to name code."""
    env_workers: WorkersInt = None
    """Processes that step environments; 0 steps them in this one."""
    json: bool = False
    """Whether to print a JSON object with every episode instead of a table of means."""

    imports = ("surefoot.training.api",)

    def run(self) -> int:
        """Evaluate, print the results and return the exit code."""
        from surefoot.text import readable
        from surefoot.training import api

        seeds, episodes = api.evaluate(self.path, episodes=self.episodes, task=self.task, env_workers=self.env_workers)
        if self.json:
            entries = [_data(seed, index, episodes) for index, seed in enumerate(seeds)]
            emit_json({"path": readable(self.path), "seeds": entries})
        else:
            print_table(*_table(seeds, episodes))
        return 0


def _data(seed: int, index: int, episodes: EvaluationResult) -> dict[str, Any]:
    """Return all episodes of one seed for JSON; success is null where the task defines none or the seed diverged."""
    diverged = bool(np.isnan(episodes.returns[index]).all())
    arrays = {
        "returns": episodes.returns,
        "lengths": episodes.lengths,
        "success_any": None if diverged else episodes.success_any,
        "success_last": None if diverged else episodes.success_last,
        "first_success": None if diverged else episodes.first_success,
    }
    return {"seed": seed, **{name: None if array is None else array[index].tolist() for name, array in arrays.items()}}


def _table(seeds: Sequence[int], episodes: EvaluationResult) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: means over each seed's episodes, then over those of all seeds that have not diverged."""
    known = ~np.isnan(episodes.returns).all(axis=1)
    header, rows = ["seed"], [[str(seed)] for seed in seeds] + [["mean"]]
    columns = [
        ("mean return", episodes.returns, "{:.1f}"),
        ("solved", episodes.success_any, "{:.0%}"),
        ("solved at the end", episodes.success_last, "{:.0%}"),
    ]
    for name, values, style in columns:
        if values is not None:
            header.append(name)
            means = np.where(known, values.mean(axis=1), np.nan)
            for row, value in zip(rows, (*means, values[known].mean()), strict=True):
                row.append("diverged" if np.isnan(value) else style.format(value))
    return header, rows
