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

COMPARED = ("fish-swim", "dog-run", "quadruped-run", "myo-reach", "myo-pen-twirl")
"""One of each kind: keys in another order, more keys, other bounds, an equal start, and a task that differs. All 25
took twenty minutes beside other work: `python envpool_parity.py`."""

RUN = """
import dataclasses
import shutil
import numpy as np
import surefoot
from surefoot.training.events import Observer

class Noting(Observer):
    def __init__(self, messages):
        self.on_message = messages.append

algorithm = surefoot.crossq_wn(utd=1).replace(batch_size=16, warmup_transitions=40)
parts = {name: dataclasses.replace(getattr(algorithm, name), widths=(8,)) for name in ("actor", "critic")}
algorithm = algorithm.replace(**parts)
for task, engine in (("dog-run", "envpool"), ("myo-key-turn", "envpool"), ("envpool/FetchReach-v4", "suite")):
    settings = {"num_seeds": 2, "num_envs": 2, "evaluation_episodes": 1, "diagnose_every": 0, "checkpoint_every": 130}
    name = "-".join(task.split("/"))
    whole = surefoot.train(task, algorithm=algorithm, engine=engine, env_steps=260, out=name, **settings)
    cut = dataclasses.replace(whole, path=whole.path.with_name(f"{name}-cut"))
    shutil.copytree(whole.path, cut.path)
    shutil.rmtree(cut.path / "checkpoints" / "env_steps_000000000260")
    messages, runs = [], (whole, cut)
    surefoot.resume(cut.path, observer=Noting(messages))
    assert not [line for line in messages if "new episode" in line], messages
    for name in ("evaluations", "training"):
        one, other = (getattr(run, name)() for run in runs)
        for column in set(one) - {"wall_seconds", "env_steps_per_second", "grad_steps_per_second"}:
            np.testing.assert_array_equal(one[column], other[column], err_msg=f"{task} {column}")
    one, other = ((run.path / "policy" / "policy.npz").read_bytes() for run in runs)
    assert one == other
    surefoot.evaluate(runs[0].path, episodes=1)
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
    lines = output(program, [str(HERE / "envpool_parity.py"), *COMPARED], tmp_path).splitlines()
    results: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith('{"task"')]
    assert {result["task"] for result in results} == set(COMPARED)
    assert [result for result in results if result["offered"] == bool(result["different"])] == []


def test_resumed_run_equals_an_uninterrupted_one(program: str, tmp_path: Path) -> None:
    output(program, ["-c", RUN], tmp_path)
