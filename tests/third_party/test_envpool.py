"""EnvPool's environments: compared with the suites' own, and in runs of the installed wheel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import installed

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent

RUN = """
import dataclasses
import numpy as np
import surefoot

algorithm = surefoot.crossq_wn(utd=1).replace(batch_size=16, warmup_transitions=40)
parts = {name: dataclasses.replace(getattr(algorithm, name), widths=(8,)) for name in ("actor", "critic")}
algorithm = algorithm.replace(**parts)
for task, engine in (("dog-run", "envpool"), ("myo-key-turn", "envpool"), ("envpool/FetchReach-v4", "suite")):
    out = "-".join(task.split("/"))
    settings = {"num_seeds": 2, "num_envs": 2, "evaluation_episodes": 1, "checkpoint_every": 60, "diagnose_every": 0}
    surefoot.train(task, algorithm=algorithm, engine=engine, env_steps=120, out=out, **settings)
    run = surefoot.resume(out, env_steps=240)
    last = run.evaluations()["return"][-2:]
    np.testing.assert_allclose(surefoot.evaluate(out, episodes=1)[1].returns[:, 0], last, rtol=0.2, atol=2.0)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("envpool")
    wheel = installed.build_wheel(folder)
    return installed.install(folder / "venv", "3.12", [f"surefoot[envpool,dmc,myosuite] @ {wheel.as_uri()}", "scipy"])


def output(program: str, arguments: list[str], folder: Path) -> str:
    environment = installed.clean_environment() | {"MUJOCO_GL": "disabled"}
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_offered_tasks_are_those_that_do_not_differ(program: str, tmp_path: Path) -> None:
    lines = output(program, [str(HERE / "envpool_parity.py")], tmp_path).splitlines()
    results: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith('{"task"')]
    assert len(results) == 25
    assert [result for result in results if result["offered"] == bool(result["different"])] == []


def test_runs_resume_and_evaluate(program: str, tmp_path: Path) -> None:
    output(program, ["-c", RUN], tmp_path)
