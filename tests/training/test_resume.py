"""Bit-exact resume."""

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
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import surefoot
from surefoot import machine
from surefoot.errors import UserError
from surefoot.runs import RunDirectory
from surefoot.tasks import VectorEnv
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.events import RunStarted
from tests.tasks import zoo
from tests.training.recording import Recording
from tests.training.small import TWO_SEEDS, small

ROOT = Path(__file__).parents[2]
CHEETAH = ["cheetah-run", "1400", "2", "evaluate_every=600", "checkpoint_every=170", "log_every=100"]
CHEETAH += ["diagnose_every=700", "replay_capacity=400", "env_workers=0", 'precision="float32"']
"""Checkpoints within episodes, which take 500 agent steps, and a replay ring that wraps."""

ALGORITHM = small(surefoot.crossq_wn(utd=2))
SETTINGS: dict[str, Any] = {
    "algorithm": ALGORITHM,
    **TWO_SEEDS,
    "evaluate_every": 100,
    "checkpoint_every": 63,
    "diagnose_every": 70,
    "evaluation_episodes": 1,
}
"""The same for probe-truncation, whose episodes take 10 agent steps."""


def start(out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.training.small", str(out), *CHEETAH]
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
    assert_same_policy(first, second)


def assert_same_policy(first: Path, second: Path) -> None:
    assert (first / "policy" / "policy.npz").read_bytes() == (second / "policy" / "policy.npz").read_bytes()


def wait_for_rows(out: Path, rows: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200
    log = out / "training.csv"
    while not log.exists() or log.read_bytes().count(b"\n") < rows:
        assert process.poll() is None, out.with_suffix(".log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_run_killed_at_random_times_equals_uninterrupted_run(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    # Within the warm-up, early and late in training.
    times = random.Random(time.time_ns())
    for rows, number in ((1 + 2 * 1, signal.SIGKILL), (1 + 2 * 6, signal.SIGTERM), (1 + 2 * 11, signal.SIGKILL)):
        process = start(out)
        wait_for_rows(out, rows, process)
        time.sleep(times.uniform(0.0, 0.3))
        process.send_signal(number)
        assert process.wait(timeout=100) == -number, out.with_suffix(".log").read_text()
        if number == signal.SIGTERM:
            assert 0 < RunDirectory.open(out).checkpoints.load().env_steps < 1400, "it wrote a checkpoint"
    finish(out)
    assert_same_run(uninterrupted, out)


# ---------------------------------------------------------------- in this process


def train(out: Path, env_steps: int = 200, **changes: Any) -> surefoot.Run:
    settings = SETTINGS | {"precision": "float32", "observer": Recording()} | changes
    return surefoot.train("probe-truncation", env_steps=env_steps, out=out, **settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("finished") / "run").path


class RaiseSignal(surefoot.Callback):
    def __init__(self, number: signal.Signals, at: int) -> None:
        self._number, self._at = number, at

    def on_step(self, view: surefoot.StepView) -> None:
        if view.env_steps == self._at:
            signal.raise_signal(self._number)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, stopped by Ctrl-C within an episode."""
    path = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyboardInterrupt):
        train(path, callbacks=[RaiseSignal(signal.SIGINT, at=133)])
    assert RunDirectory.open(path).checkpoints.load().env_steps == 133
    return path


@pytest.fixture
def out(tmp_path: Path, finished: Path) -> Path:
    """A copy of the finished run."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def test_signal_during_the_last_step_takes_effect_after_the_run(out: Path) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        run = surefoot.resume(out, env_steps=300, observer=Recording(), callbacks=[RaiseSignal(signal.SIGTERM, at=300)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert run.completed
    with RunDirectory.open(out).lock():
        pass


def test_resume_equals_uninterrupted_run(finished: Path, stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "run")
    assert surefoot.resume(tmp_path / "run", observer=Recording()).completed
    assert_same_run(finished, tmp_path / "run")


def test_resume_with_damaged_newest_checkpoint_uses_the_previous_one(
    finished: Path, stopped: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    learner = out / "checkpoints" / "env_steps_000000000133" / "learner.npz"
    content = bytearray(learner.read_bytes())
    content[len(content) // 2] ^= 0xFF
    learner.write_bytes(content)
    observer = Recording()
    assert surefoot.resume(out, observer=observer).completed
    assert observer.events[0].start_env_steps == 126
    assert any(learner.parent.name in line for line in observer.messages)
    assert_same_run(finished, out)


@pytest.mark.slow
def test_extended_run_equals_a_longer_one(out: Path, tmp_path: Path) -> None:
    longer = train(tmp_path / "longer", env_steps=300).path
    seen: list[int] = []

    class Reader(Recording):
        def on_start(self, event: RunStarted) -> None:
            seen.append(json.loads((out / "config.json").read_text())["env_steps"])

    assert surefoot.resume(out, env_steps=300, observer=Reader()).completed
    assert seen == [300], "observers of an extended run read its new length"
    assert_same_run(longer, out)
    assert json.loads((out / "config.json").read_text())["env_steps"] == 300


def test_resuming_a_finished_run_changes_no_row(out: Path) -> None:
    before = [(out / name).read_bytes() for name in ("evaluations.csv", "training.csv")]
    observer = Recording()
    assert surefoot.resume(out, observer=observer).completed
    assert before == [(out / name).read_bytes() for name in ("evaluations.csv", "training.csv")]
    assert observer.events[-1].final.returns == (10.0, 10.0)


def test_resume_writes_the_policy_of_its_checkpoint(out: Path, finished: Path) -> None:
    """A process may be killed between the last checkpoint and its policy."""
    (out / "policy" / "policy.npz").write_bytes(b"that of an earlier checkpoint")
    surefoot.resume(out, observer=Recording())
    assert_same_run(finished, out)


def test_invalid_changes_write_nothing(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    for changes, message in (
        ({"num_seeds": 3}, "resume cannot change 'num_seeds'"),
        ({"algorithm": surefoot.crossq()}, "resume cannot change 'algorithm'"),
        ({"env_steps": 150}, "can only grow when a run is resumed: it was 200, got 150"),
        ({"env_steps": 0}, "env_steps must be at least 1, got 0"),
    ):
        with pytest.raises(UserError, match=message):
            surefoot.resume(finished, **changes)
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}


def test_run_without_a_checkpoint_starts_again(out: Path, finished: Path) -> None:
    shutil.rmtree(out / "checkpoints")
    shutil.rmtree(out / "replay")
    observer = Recording()
    assert surefoot.resume(out, observer=observer).completed
    assert any("starts again" in line for line in observer.messages)
    assert_same_run(finished, out)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"policy_delay": 3', '"policy_delay": 2', "trained with policy_delay 3, but config.json now has 2"),
        ('"num_seeds": 2', '"num_seeds": "one"', "num_seeds must be a whole number, got 'one'"),
        ('"task":', '"tusk":', "task is None, expected str"),
        ('"part": "Algorithm"', '"part": "MLP"', "MLP"),
        ('"resolved":', '"solved":', "resolved is None, expected dict"),
    ],
    ids=["changed", "type", "missing", "part", "plan"],
)
def test_edited_config_is_an_error_and_nothing_is_written(old: str, new: str, message: str, out: Path) -> None:
    config = (out / "config.json").read_text()
    assert old in config
    (out / "config.json").write_text(config.replace(old, new))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message) as error:
        surefoot.resume(out, observer=Recording())
    assert "\n" not in str(error.value)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_missing_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run"):
        surefoot.resume(tmp_path / "nothing")


class Forgetful(zoo.Counter):
    """Its starts do not depend on the seed, so replaying actions does not restore it."""

    starts = 0

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[np.ndarray, dict]:
        observation, info = super().reset(seed=seed)
        Forgetful.starts += 1
        self.buffer[1] = Forgetful.starts
        return observation, info


def forgetful() -> Forgetful:
    return Forgetful(truncates=True)


@pytest.mark.slow
def test_environment_that_cannot_be_replayed_starts_a_new_episode(tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = {"evaluate_every": 1000, "checkpoint_every": 40, "evaluation_episodes": 1, "observer": Recording()}
    # 200 is no multiple of the episode's 3 steps, so the run ends within an episode.
    surefoot.train(forgetful, algorithm=ALGORITHM, env_steps=200, out=out, **settings)
    with pytest.raises(UserError, match="callable"):
        surefoot.resume(out, env_steps=260)
    observer = Recording()
    assert surefoot.resume(out, task=forgetful, env_steps=260, observer=observer).completed
    assert any("a new episode starts" in line for line in observer.messages)


def test_environments_that_differ_in_a_later_replay_start_new_episodes_too() -> None:
    """Restoring the others after an abandoned episode replays their actions again."""
    observation = np.zeros((3, 1), np.float32)
    replays = [np.array([[0.0], [np.nan], [0.0]]), np.array([[1.0], [5.0], [0.0]]), np.array([[6.0], [5.0], [0.0]])]
    asked: list[list[int]] = []

    def restore(episodes: list[int], actions: list[np.ndarray]) -> np.ndarray:
        asked.append([len(own) for own in actions])
        return replays.pop(0)

    host = HostState.start(observation, np.zeros((3, 1), np.float32))
    host.episode_actions = [[np.zeros(1)] * n for n in (2, 3, 4)]
    vector = SimpleNamespace(restore=restore, num_envs=3, action_size=1)
    messages: list[str] = []
    abandoned = host.restore_episodes(cast(VectorEnv, vector), ["seed 0", "seed 1", "seed 2"], messages.append)
    assert asked == [[2, 3, 4], [2, 0, 4], [0, 0, 4]]
    assert [line.split(":")[0] for line in messages] == ["seed 1", "seed 0"]
    assert (abandoned.tolist(), host.episode.tolist()) == ([True, True, False], [1, 1, 0])
    assert host.observation.tolist() == [[6.0], [5.0], [0.0]]


def test_auto_precision_is_chosen_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observer, resumed = Recording(), Recording()
    settings = {name: SETTINGS[name] for name in ("algorithm", "num_seeds", "replay_capacity")}
    monkeypatch.setattr(machine, "fastest_precision", lambda: "bf16")
    surefoot.train("probe-truncation", env_steps=110, out=tmp_path / "run", observer=observer, **settings)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["precision"] == "bf16"
    monkeypatch.setattr(machine, "fastest_precision", lambda: "float32")  # as on another machine
    surefoot.resume(tmp_path / "run", env_steps=120, observer=resumed)
    assert [event.precision for event in (observer.events[0], resumed.events[0])] == ["bf16", "bf16"]


@pytest.mark.slow
@pytest.mark.parametrize("setting", [{"overlap": True}, {"precision": "bf16"}], ids=str)
def test_resume_equals_uninterrupted_run_with_settings_that_change_it(
    setting: dict[str, Any], finished: Path, tmp_path: Path
) -> None:
    changed = train(tmp_path / "whole", **setting).path
    train(tmp_path / "parts", env_steps=133, **setting)
    surefoot.resume(tmp_path / "parts", env_steps=200, observer=Recording())
    assert setting.items() <= json.loads((tmp_path / "parts" / "config.json").read_text()).items()
    assert_same_policy(changed, tmp_path / "parts")
    with pytest.raises(AssertionError):
        assert_same_policy(changed, finished)
    rows, expected = (surefoot.Run(path, completed=True).diagnostics() for path in (changed, finished))
    for name in ("seed", "env_steps", "agent_steps", "grad_steps"):
        np.testing.assert_array_equal(rows[name], expected[name])
