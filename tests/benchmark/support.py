"""Grids whose cells train in seconds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

HEAD = """
env_steps = 600
evaluate_every = 300
evaluation_episodes = 1
checkpoint_every = 150
log_every = 100
replay_capacity = 600
"""

ALGORITHM = """
[[algorithms]]
preset = "sac"
name = "small sac"
actor = "MLP((16, 16))"
critic = "MLP((16, 16))"
warmup_transitions = 100
batch_size = 16
"""


TWO_SEEDS = """
[[algorithms]]
preset = "crossq-wn"
utd = 2
actor = "MLP((16, 16), BatchNorm())"
critic = "MLP((16, 16), BatchNorm())"
warmup_transitions = 100
batch_size = 16
"""
"""The algorithm of most runs in tests; see ``tests.training.small``."""


def write_grid(
    path: Path,
    head: str = 'tasks = ["probe-action"]\nnum_seeds = 2\nseeds_per_cell = 1',
    algorithm: str = ALGORITHM,
    **more: Any,
) -> Path:
    """Write a grid of two cells, or with another ``head``."""
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    settings = "".join(line + "\n" for line in HEAD.splitlines() if line.split(" ")[0] not in more)
    path.write_text(f"{head}\n{settings}{extra}{algorithm}")
    return path


def rows_without_clock(run: Path, name: str = "evaluations.csv") -> list[dict[str, str]]:
    clock = ("wall_seconds", "env_steps_per_second", "grad_steps_per_second")
    with (run / name).open() as stream:
        return [{key: value for key, value in row.items() if key not in clock} for row in csv.DictReader(stream)]
