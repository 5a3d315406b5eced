"""A lambda of a script keeps its name, and so its seeds and episodes, when another process resumes the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import surefoot

SCRIPT = """
import os, sys
import gymnasium
import surefoot
from tests.training.small import small

def main(out, env_id, env_steps):
    make = lambda: gymnasium.make(env_id, max_episode_steps=20)
    if not os.path.exists(out):
        algorithm = small(surefoot.sac())
        surefoot.train(make, algorithm=algorithm, out=out, env_steps=150, checkpoint_every=50, evaluate_every=50,
                       evaluation_episodes=1, log_every=50, env_workers=0)
    if int(env_steps) > 150:
        surefoot.resume(out, task=make, env_steps=int(env_steps))

main(*sys.argv[1:])
"""


@pytest.mark.slow
def test_lambda_is_the_same_task_in_a_new_process(tmp_path: Path) -> None:
    (tmp_path / "pendulums.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "pendulums.py", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    for arguments in (("once", "Pendulum-v1", "250"), ("twice", "Pendulum-v1", "150"), ("twice", "Pendulum-v1", "250")):
        assert run(*arguments).returncode == 0
    once, twice = (surefoot.runs.read_evaluations(tmp_path / name) for name in ("once", "twice"))
    assert once["env_steps"][-1] == 250
    assert all((once[name] == twice[name]).all() for name in ("task", "env_steps", "return"))
    assert once["task"][0].startswith("pendulums:main.<locals>.<lambda>#")
    other = run("twice", "MountainCarContinuous-v0", "300")
    assert other.returncode == 1
    assert "trained on" in other.stderr.splitlines()[-1]
