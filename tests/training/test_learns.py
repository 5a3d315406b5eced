"""Learning on a DM Control task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.runs.csvread import read_evaluations

SETTINGS = (
    "actor.widths=(64,64)",
    "critic.widths=(64,64)",
    "batch_size=128",
    "warmup_transitions=1000",
    "actor_optimizer.learning_rate=1e-3",
    "critic_optimizer.learning_rate=1e-3",
    "temperature.optimizer.learning_rate=1e-3",
)
COMMAND = """
train cheetah-run --utd 2 --num-seeds 3 --env-steps 14_000 --evaluate-every 14_000 --evaluation-episodes 2
--precision float32
"""


@pytest.mark.slow
def test_cheetah_run_is_learned(tmp_path: Path) -> None:
    # The tests' compiler options save time in programs that run a few times; this one runs 12,000 updates.
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", "surefoot", *COMMAND.split(), "--out", str(tmp_path / "run")]
    command += [argument for setting in SETTINGS for argument in ("--set", setting)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    evaluations = read_evaluations(tmp_path / "run")
    first, last = (evaluations["return"][evaluations["env_steps"] == env_steps] for env_steps in (0, 14_000))
    assert first.max() < 20.0
    # Random policies get about 8; single seeds vary from 30 to 290, also with the rounding of the compiler's options.
    assert last.mean() > 40.0
