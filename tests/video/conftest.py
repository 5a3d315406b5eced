"""Run directories with random policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surefoot.policy import save_policy
from surefoot.runs import RunDirectory
from tests.flat_spaces import flat_spaces

SEEDS = [3, 4]
HEAD = {"op": "tanh_gaussian_head", "mean": "mean", "log_std": "log_std", "log_std_min": -10, "log_std_max": 2}

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run of `task` for the given sizes or spaces; seed 4 has the better score."""

    def make(
        task: str, observation_size: int, action_size: int, repeat: int = 2, spaces: dict[str, Any] | None = None
    ) -> Path:
        path = tmp_path / "run"
        directory = RunDirectory.create(path, {"task": task, "resolved": {"action_repeat": repeat}})
        rng = np.random.default_rng(0)
        arrays = {f"{part}/kernel": rng.normal(size=(2, observation_size, action_size)) for part in ("mean", "log_std")}
        spec = {
            "spaces": spaces or flat_spaces(observation_size, [-1.0] * action_size, [1.0] * action_size),
            "task": task,
            "algorithm": "crossq-wn",
            "env_steps": 1000,
            "seeds": SEEDS,
            "scores": [0.25, 0.75],
            "layers": [HEAD | {"mapping": "clip"}],
        }
        save_policy(directory.policy_path, spec, arrays)
        return path

    return make


@pytest.fixture
def cartpole(make_run: MakeRun) -> Path:
    parts = {"position": [3], "velocity": [2]}
    spaces = flat_spaces(parts, [-1.0], [1.0], "float64", observation_dtype="float64")
    return make_run("cartpole-swingup", 5, 1, spaces=spaces)
