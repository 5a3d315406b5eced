"""A resumed run equals an uninterrupted one, bit for bit, however it was stopped."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.errors import UserError
from surefoot.runs import RunDirectory
from tests.tasks import zoo
from tests.training.recording import Recording
from tests.training.small import small

ROOT = Path(__file__).parents[2]
# Checkpoints fall inside episodes (500 agent steps), the replay ring wraps, and the seeds are two.
SETTINGS = [
    "cheetah-run",
    "1400",
    "2",
    "evaluate_every=600",
    "checkpoint_every=170",
    "log_every=100",
    "diagnose_every=700",
]
SETTINGS += ["replay_capacity=400", "env_workers=0"]


def start(out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.training.small", str(out), *SETTINGS]
    log = out.with_suffix(".log").open("ab")
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "MUJOCO_GL": "disabled"})


def finish(out: Path) -> None:
    process = start(out)
    assert process.wait(timeout=240) == 0, out.with_suffix(".log").read_text()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    finish(out)
    return out


def rows_without_clock(log: dict[str, np.ndarray]) -> dict[str, list]:
    clock = {"wall_seconds", "env_steps_per_second", "grad_steps_per_second"}
    return {name: column.tolist() for name, column in log.items() if name not in clock}


def assert_same_run(first: Path, second: Path) -> None:
    one, two = (surefoot.Run(path, completed=True) for path in (first, second))
    assert str(rows_without_clock(one.evaluations())) == str(rows_without_clock(two.evaluations()))
    assert str(rows_without_clock(one.training())) == str(rows_without_clock(two.training()))
    assert str(rows_without_clock(one.diagnostics())) == str(rows_without_clock(two.diagnostics()))
    final, other = (RunDirectory.open(path).checkpoints.load() for path in (first, second))
    assert final.env_steps == other.env_steps
    for file, arrays in final.arrays.items():
        assert arrays.keys() == other.arrays[file].keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, other.arrays[file][name], err_msg=f"{file} {name}")
    assert (first / "policy" / "policy.npz").read_bytes() == (second / "policy" / "policy.npz").read_bytes()


def wait_for_rows(out: Path, rows: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200
    log = out / "training.csv"
    while not log.exists() or log.read_bytes().count(b"\n") < rows:
        assert process.poll() is None, out.with_suffix(".log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_run_killed_at_random_moments_equals_an_uninterrupted_one(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    # Each kill falls at a different place: within the warm-up, early in training, late in it.
    moments = random.Random(time.time_ns())
    for rows in (1 + 2 * 1, 1 + 2 * 6, 1 + 2 * 11):
        process = start(out)
        wait_for_rows(out, rows, process)
        time.sleep(moments.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    finish(out)
    assert_same_run(uninterrupted, out)


@pytest.mark.slow
def test_sigterm_makes_a_checkpoint_at_once_and_the_rest_is_the_same(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out)
    wait_for_rows(out, 1 + 2 * 5, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=100) == 0, out.with_suffix(".log").read_text()
    stopped_at = RunDirectory.open(out).checkpoints.load().env_steps
    assert 0 < stopped_at < 1400
    finish(out)
    assert_same_run(uninterrupted, out)


def test_corrupt_checkpoint_is_detected_and_the_one_before_it_used(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out)
    wait_for_rows(out, 1 + 2 * 10, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    newest = max((out / "checkpoints").glob("env_steps_*"))
    learner = newest / "learner.npz"
    content = bytearray(learner.read_bytes())
    content[len(content) // 2] ^= 0xFF
    learner.write_bytes(content)
    finish(out)
    assert newest.name in out.with_suffix(".log").read_text()
    assert_same_run(uninterrupted, out)


# ---------------------------------------------------------------- in this process


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    algorithm = small(surefoot.crossq_wn(utd=1))
    settings = {"evaluate_every": 100, "checkpoint_every": 60, "evaluation_episodes": 1, "observer": Recording()}
    surefoot.train("probe-truncation", algorithm=algorithm, env_steps=200, out=out, **settings)
    return out


def test_finished_run_goes_on_with_more_steps_and_equals_a_longer_one(finished: Path, tmp_path: Path) -> None:
    algorithm = small(surefoot.crossq_wn(utd=1))
    settings = {"evaluate_every": 100, "checkpoint_every": 60, "evaluation_episodes": 1, "observer": Recording()}
    longer = tmp_path / "longer"
    surefoot.train("probe-truncation", algorithm=algorithm, env_steps=300, out=longer, **settings)
    extended = surefoot.resume(finished, env_steps=300, observer=Recording())
    assert extended.completed
    assert_same_run(longer, finished)
    assert json.loads((finished / "config.json").read_text())["env_steps"] == 300


def test_resuming_a_finished_run_changes_none_of_its_rows(finished: Path) -> None:
    before = [(finished / name).read_bytes() for name in ("evaluations.csv", "training.csv")]
    watcher = Recording()
    assert surefoot.resume(finished, observer=watcher).completed
    assert before == [(finished / name).read_bytes() for name in ("evaluations.csv", "training.csv")]
    assert watcher.events[-1].final.returns == (10.0,)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_seeds": 3}, "num_seeds"),
        ({"algorithm": surefoot.crossq()}, "algorithm"),
        ({"env_steps": 150}, r"can only grow when a run is resumed: it was \d+, got 150"),
        ({"env_steps": 0}, "env_steps"),
    ],
)
def test_changes_that_alter_what_was_trained_are_refused(finished: Path, changes: dict, said: str) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=said):
        surefoot.resume(finished, **changes)
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}


def test_run_killed_before_its_first_checkpoint_begins_again(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "checkpoints")
    shutil.rmtree(out / "replay")
    watcher = Recording()
    assert surefoot.resume(out, observer=watcher).completed
    assert any("begins again" in line for line in watcher.messages)
    assert_same_run(finished, out)


def test_edited_config_is_refused(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    config = (out / "config.json").read_text()
    (out / "config.json").write_text(config.replace('"policy_delay": 3', '"policy_delay": 2'))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"trained with policy_delay 3, which config.json now gives as 2"):
        surefoot.resume(out, observer=Recording())
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_resuming_something_else_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run"):
        surefoot.resume(tmp_path / "nothing")


class Forgetful(zoo.Counter):
    """Starts elsewhere at every reset, whatever the seed: cannot be replayed."""

    starts = 0

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[np.ndarray, dict]:
        observation, info = super().reset(seed=seed)
        Forgetful.starts += 1
        self.buffer[1] = Forgetful.starts
        return observation, info


def forgetful() -> Forgetful:
    return Forgetful(truncates=True)


def test_callable_is_passed_again_and_an_environment_that_cannot_be_replayed_starts_anew(tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = {"evaluate_every": 1000, "checkpoint_every": 40, "evaluation_episodes": 1, "observer": Recording()}
    algorithm = small(surefoot.crossq_wn(utd=1))
    # 200 is no multiple of the episode's 3 steps, so the run ends inside an episode.
    surefoot.train(forgetful, algorithm=algorithm, env_steps=200, out=out, **settings)
    with pytest.raises(UserError, match="callable"):
        surefoot.resume(out, env_steps=260)
    watcher = Recording()
    assert surefoot.resume(out, task=forgetful, env_steps=260, observer=watcher).completed
    assert any("a new episode starts" in line for line in watcher.messages)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"num_seeds": 1', '"num_seeds": "one"', "num_seeds must be a whole number, got 'one'"),
        ('"task":', '"tusk":', "task is None, expected str"),
        ('"part": "Algorithm"', '"part": "MLP"', "MLP"),
        ('"resolved":', '"solved":', "resolved is None, expected dict"),
    ],
)
def test_damaged_config_is_one_line(old: str, new: str, said: str, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    config = (out / "config.json").read_text()
    assert old in config
    (out / "config.json").write_text(config.replace(old, new))
    with pytest.raises(UserError, match=said) as refusal:
        surefoot.resume(out, observer=Recording())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("setting", [{"precision": "bf16"}, {"overlap": True}], ids=["bf16", "overlap"])
def test_a_run_goes_on_as_it_began(setting: dict[str, Any], tmp_path: Path) -> None:
    """Resumed on its way, it equals the run that went through; and it is no run with the default."""
    settings = {"algorithm": small(surefoot.crossq_wn(utd=2)), "evaluate_every": 150, "evaluation_episodes": 1}
    for name, own in (("whole", setting), ("other", {}), ("parts", setting)):
        steps = 120 if name == "parts" else 150
        surefoot.train("probe-truncation", env_steps=steps, out=tmp_path / name, **own, **settings)
    surefoot.resume(tmp_path / "parts", env_steps=150)
    assert setting.items() <= json.loads((tmp_path / "parts" / "config.json").read_text()).items()
    weights = {name: np.load(tmp_path / name / "policy" / "policy.npz") for name in ("whole", "other", "parts")}
    same = [
        {other: np.array_equal(weights["whole"][key], weights[other][key]) for other in weights}
        for key in weights["whole"].files
    ]
    assert all(one["parts"] for one in same)
    assert not all(one["other"] for one in same)
