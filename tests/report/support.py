"""Synthetic run directories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.algorithms import to_data
from surefoot.algorithms.presets import get_preset
from surefoot.report.labels import label_runs
from surefoot.report.report import Settings
from surefoot.report.runs import load_runs
from surefoot.report.view import View
from surefoot.report.views import make_views
from surefoot.runs import EVALUATION_COLUMNS, CsvLog, RunDirectory

QUICK = Settings(resamples=50)
STEPS = (0, 10_000, 20_000)


def make_run(
    path: Path,
    curves: Sequence[Sequence[float]] = ((0.0, 0.2, 0.4), (0.1, 0.3, 0.5)),
    *,
    task: str = "cheetah-run",
    suite: str = "dmc",
    preset: str = "sac",
    name: str | None = None,
    seeds: Sequence[int] | None = None,
    steps: Sequence[int] = STEPS,
    total: int = STEPS[-1],
    episodes: int = 2,
    diagnostics: dict[str, float] | None = None,
    solved: Sequence[Sequence[float]] | None = None,
    **fields: Any,
) -> Path:
    """Write a run whose seeds score ``curves`` [S, T] at ``steps``.

    NaN omits a seed's evaluation, unless shares of ``solved`` episodes [S, T] are given: the seed has diverged then.
    """
    algorithm = get_preset(preset, **fields)
    data = to_data(algorithm if name is None else algorithm.replace(name=name))
    numbers = list(range(len(curves)) if seeds is None else seeds)
    config = {
        "task": task,
        "suite": suite,
        "algorithm": data,
        "seeds": numbers,
        "num_seeds": len(numbers),
        "evaluation_episodes": episodes,
        "resolved": {"action_repeat": 2, "discount": 0.99, "agent_steps": total // 2},
        "machine": {"device": "CPU, 1 core"},
    }
    directory = RunDirectory.create(path, config)
    log = CsvLog(directory.path / "evaluations.csv", EVALUATION_COLUMNS)
    for at, step in enumerate(steps[: len(curves[0])]):
        for seed, curve in zip(numbers, curves, strict=True):
            if np.isnan(curve[at]) and solved is None:
                continue
            success = {} if solved is None else dict.fromkeys(("success_any", "success_last"), solved[seed][at])
            counts = {"env_steps": step, "agent_steps": step // 2, "grad_steps": step // 2, "wall_seconds": step / 100}
            about = {
                "task": task,
                "algorithm": data["name"],
                "utd": data["utd"],
                "seed": seed,
                "length_env_steps": 1000,
            }
            # Two episodes around the mean, to test that they are averaged.
            log.append(
                [
                    {
                        **about,
                        **counts,
                        **success,
                        "episode": e,
                        "return": curve[at],
                        "score": curve[at] + (0.05 if e else -0.05),
                    }
                    for e in range(episodes)
                ]
            )
    log.close()
    if diagnostics is not None:
        table = CsvLog(directory.path / "diagnostics.csv", ("seed", "env_steps", *diagnostics))
        for step in STEPS[1:]:
            table.append([{"seed": seed, "env_steps": step, **diagnostics} for seed in numbers])
        table.close()
    return path


def not_evaluated_run(path: Path) -> Path:
    """Write a run that has not been evaluated yet."""
    log = make_run(path, preset="crossq") / "evaluations.csv"
    log.write_text(log.read_text().splitlines()[0] + "\n")
    return path


def views_of(path: Path) -> list[View]:
    return make_views(label_runs(load_runs([path])), QUICK)
