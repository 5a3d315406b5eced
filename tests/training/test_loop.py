"""Training loop: counters, files, failures and overlap."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import ResetAt
from surefoot.cli.evaluate import _table
from surefoot.errors import RunFailure
from surefoot.runs import CheckpointStore, RunDirectory, checkpoints
from surefoot.signals import StopSignal
from surefoot.tasks import get_task
from surefoot.tasks.vector import LocalVectorEnv, WorkerVectorEnv
from surefoot.training.callbacks import EventDispatcher
from surefoot.training.config import TrainConfig
from surefoot.training.config_file import describe_run
from surefoot.training.events import EvaluationDone, RunFinished, RunStarted
from surefoot.training.loop import TrainingLoop
from surefoot.training.plan import make_plan
from surefoot.training.population import Population
from tests.tasks import zoo
from tests.training.recording import Recording
from tests.training.small import TWO_SEEDS, small

ALGORITHM = small(surefoot.crossq_wn(utd=2), resets=ResetAt((103,)), discount=0.9)
SETTINGS = {
    **TWO_SEEDS,
    "evaluate_every": 50,
    "checkpoint_every": 60,
    "log_every": 40,
    "evaluation_episodes": 2,
}


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, surefoot.Run]:
    observer = Recording()
    out = tmp_path_factory.mktemp("loop") / "run"
    run = surefoot.train(
        "probe-action", algorithm=ALGORITHM, env_steps=170, seed=5, out=out, observer=observer, **SETTINGS
    )
    return observer, run


def test_evaluations_at_step_0_at_the_interval_and_at_the_end(observed: tuple[Recording, surefoot.Run]) -> None:
    observer, run = observed
    evaluated = [event.env_steps for event in observer.events if isinstance(event, EvaluationDone)]
    assert evaluated == [0, 50, 100, 150, 170]
    written = run.evaluations()
    assert sorted(set(written["env_steps"].tolist())) == evaluated
    # One row per evaluation, seed and episode.
    assert len(written["seed"]) == 5 * 2 * 2
    assert set(written["seed"].tolist()) == {5, 6}


def test_training_rows_count_env_agent_and_grad_steps(observed: tuple[Recording, surefoot.Run]) -> None:
    _, run = observed
    log = run.training()
    assert sorted(set(log["env_steps"].tolist())) == [40, 80, 120, 160]
    np.testing.assert_array_equal(log["agent_steps"], log["env_steps"])  # probes repeat no action
    expected = 2 * np.maximum(0, log["agent_steps"] - ALGORITHM.warmup_transitions)
    np.testing.assert_array_equal(log["grad_steps"], expected)
    # Losses are empty until the first update.
    np.testing.assert_array_equal(np.isnan(log["critic_loss"]), log["grad_steps"] == 0)


def test_start_and_finish_events(observed: tuple[Recording, surefoot.Run]) -> None:
    observer, run = observed
    started, finished = observer.events[0], observer.events[-1]
    assert isinstance(started, RunStarted)
    assert isinstance(finished, RunFinished)
    assert (started.start_env_steps, started.env_steps, started.seeds) == (0, 170, (5, 6))
    assert finished.completed
    assert run.completed
    assert finished.path == run.path
    assert -2.0 < finished.random_return < 0.0


def test_config_json_is_complete(observed: tuple[Recording, surefoot.Run]) -> None:
    config = json.loads((observed[1].path / "config.json").read_text())
    assert config["task"] == "probe-action"
    assert config["seeds"] == [5, 6]
    assert config["algorithm"]["utd"] == 2
    assert config["resolved"]["discount"] == get_task("probe-action").discount
    assert {"jax", "numpy", "python"} <= config["machine"]["versions"].keys()


def test_saved_policy_equals_the_learner(observed: tuple[Recording, surefoot.Run]) -> None:
    _, run = observed
    config = TrainConfig("probe-action", ALGORITHM, seed=5, env_steps=170, **SETTINGS)
    task = get_task("probe-action")
    with TrainingLoop.make(config, make_plan(config, task), task, EventDispatcher(Recording())) as loop:
        loop.restore(RunDirectory.open(run.path))
        observation = np.random.default_rng(0).uniform(-1, 1, (2, 20, 2)).astype(np.float32)
        trained = loop._population.act_deterministic(loop._state.learner, observation)
    for i, seed in enumerate((5, 6)):
        np.testing.assert_allclose(run.policy(seed).batch(observation[i]), trained[i], atol=1e-5)


def test_evaluate_equals_the_last_evaluation(observed: tuple[Recording, surefoot.Run]) -> None:
    _, run = observed
    seeds, result = surefoot.evaluate(run.path, episodes=2)
    log = run.evaluations()
    last = log["env_steps"] == 170
    assert seeds == (5, 6)
    # The same episodes, with NumPy in place of JAX.
    np.testing.assert_allclose(result.returns.reshape(-1), log["return"][last], atol=1e-3)


@pytest.mark.parametrize(
    ("make", "terminates", "workers"),
    [pytest.param(zoo.terminating, True, 2, marks=pytest.mark.slow), (zoo.truncating, False, 0)],
)
def test_time_limit_is_not_stored_as_termination(make: object, terminates: bool, workers: int, tmp_path: Path) -> None:
    config = TrainConfig(make, ALGORITHM, env_steps=101, out=tmp_path / "run", env_workers=workers, **SETTINGS)
    task = get_task(make)
    observer = Recording()
    with TrainingLoop.make(config, make_plan(config, task), task, EventDispatcher(observer)) as loop:
        directory = RunDirectory.create(tmp_path / "run", {})
        with directory.lock(), StopSignal() as stop:
            loop.start(directory)
            loop.run(stop)
        replay = loop._state.replay
    for seed in range(2):
        one = jax.tree.map(lambda leaf, seed=seed: np.asarray(leaf[seed]), replay)
        # Short episodes need more frames than the buffer has room for, so the oldest transitions have been dropped.
        stored = np.arange(int(one.oldest), 101)
        assert len(stored) > 80
        frame = one.frame_of[stored]
        current, following = one.frames[frame % len(one.frames)], one.frames[(frame + 1) % len(one.frames)]
        # Episodes count 0, 1, 2, 3: no transition crosses the end of an episode, and none lacks its last state.
        np.testing.assert_array_equal(following[:, 0], current[:, 0] + 1.0)
        np.testing.assert_array_equal(following[:, 1], current[:, 1])
        np.testing.assert_array_equal(one.rewards[stored], following[:, 0])
        ends = following[:, 0] == zoo.EPISODE_STEPS
        np.testing.assert_array_equal(ends, stored % zoo.EPISODE_STEPS == zoo.EPISODE_STEPS - 1)
        np.testing.assert_array_equal(one.terminated[stored], ends & terminates)


# ---------------------------------------------------------------- failures


def break_late(env: zoo.Counter) -> None:
    """Return NaN from the 121st call on, after the first checkpoint."""
    break_late.calls = getattr(break_late, "calls", 0) + 1  # type: ignore[attr-defined]
    if break_late.calls > 120:  # type: ignore[attr-defined]
        env.buffer[1] = np.nan


def test_failing_environment_is_one_line_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    break_late.calls = 0  # type: ignore[attr-defined]
    out = tmp_path / "run"
    with pytest.raises(RunFailure) as failure:
        surefoot.train(
            zoo.failing(break_late), algorithm=ALGORITHM, env_steps=500, out=out, observer=Recording(), **SETTINGS
        )
    line = str(failure.value)
    assert "\n" not in line
    for part in ("seed ", "env step", "observation"):
        assert part in line
    checkpoint = RunDirectory.open(out).checkpoints.load()
    assert checkpoint.env_steps > 0
    assert not checkpoint.skipped


def test_environment_that_fails_at_the_start_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=r"zoo:nan_on_reset, seed 0, at the start: .*observation") as failure:
        surefoot.train(zoo.nan_on_reset, algorithm=ALGORITHM, env_steps=500, out=tmp_path / "run", **SETTINGS)
    assert "\n" not in str(failure.value)


def test_environments_are_closed_if_the_loop_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(LocalVectorEnv, "close", lambda vector: closed.append(vector.num_envs))
    monkeypatch.setattr("surefoot.training.loop.get_population", lambda *_: 1 / 0)
    config = TrainConfig("probe-action", ALGORITHM, env_steps=102, out=tmp_path / "run", **SETTINGS)
    task = get_task("probe-action")
    with pytest.raises(ZeroDivisionError):
        TrainingLoop.make(config, make_plan(config, task), task, EventDispatcher(Recording()))
    assert closed == [4, 2]  # two evaluation environments for each of two seeds, then the training environments


def diverge(loop: TrainingLoop, seeds: list[int]) -> None:
    """Put NaN into the actors of some seeds."""
    head = loop._state.learner.actor.params["mean"]
    head["bias"] = head["bias"].at[np.array(seeds)].set(np.nan)


@pytest.mark.parametrize("diverged", [[1], [0, 1]])
def test_diverged_seed_is_reported_once_and_other_seeds_continue(diverged: list[int], tmp_path: Path) -> None:
    # Before the reset, which makes the networks finite again.
    config = TrainConfig("probe-action", ALGORITHM, env_steps=102, out=tmp_path / "run", **SETTINGS)
    task, observer = get_task("probe-action"), Recording()
    with TrainingLoop.make(config, make_plan(config, task), task, EventDispatcher(observer)) as loop:
        directory = RunDirectory.create(tmp_path / "run", describe_run(config, loop._plan, task, loop.spaces))
        with directory.lock(), StopSignal() as stop:
            loop.start(directory)
            diverge(loop, diverged)
            if len(diverged) == 2:
                with pytest.raises(RunFailure, match=r"probe-action, seed 0, env step \d+: .*no other seed is left"):
                    loop.run(stop)
                return
            loop.run(stop)
    events = EventDispatcher(Recording())
    with TrainingLoop.make(config, make_plan(config, task), task, events) as loop, directory.lock():
        loop.restore(directory)
        assert loop._divergence.diverged.tolist() == [False, True]
    diverged_lines = [line.split(":")[0] for line in observer.messages if "diverged" in line]
    assert diverged_lines == ["seed 1 diverged at env step 50"]
    log = surefoot.Run(tmp_path / "run", completed=True).evaluations()
    late = log["env_steps"] > 0
    np.testing.assert_array_equal(np.isnan(log["return"][late]), log["seed"][late] == 1)
    assert surefoot.load_policy(tmp_path / "run").seed == 0
    with pytest.raises(surefoot.UserError, match="1"):
        surefoot.load_policy(tmp_path / "run", seed=1)
    _, result = surefoot.evaluate(tmp_path / "run", episodes=2)
    np.testing.assert_array_equal(np.isnan(result.returns), [[False, False], [True, True]])
    _, (first, second, mean) = _table((5, 6), result)
    assert (first[1], second[1]) == (mean[1], "diverged")


def test_dead_worker_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = []
    step_async = WorkerVectorEnv.step_async

    def kill_once(self: WorkerVectorEnv, actions: np.ndarray) -> None:
        if not killed and int(self.episodes[0]) == 40:
            killed.append(self.worker_pids[1])
            os.kill(killed[0], signal.SIGKILL)
        step_async(self, actions)

    monkeypatch.setattr(WorkerVectorEnv, "step_async", kill_once)
    settings = {"env_workers": 2, "env_steps": 500, "observer": Recording(), **SETTINGS}
    with pytest.raises(RunFailure, match=r"seed 1, env step 1\d\d: .*worker") as failure:
        surefoot.train(zoo.terminating, algorithm=ALGORITHM, out=tmp_path / "run", **settings)
    assert "\n" not in str(failure.value)
    assert RunDirectory.open(tmp_path / "run").checkpoints.load().env_steps > 0


def test_checkpoint_follows_its_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run whose last checkpoint exists, which counts as finished, has its last policy."""

    def killed(*_: object, **__: object) -> None:
        raise RunFailure("killed here")

    monkeypatch.setattr(CheckpointStore, "save", killed)
    with pytest.raises(RunFailure, match="killed here"):
        surefoot.train("probe-action", algorithm=ALGORITHM, out=tmp_path / "run", observer=Recording(), **SETTINGS)
    assert surefoot.load_policy(tmp_path / "run").env_steps == 0
    assert not list((tmp_path / "run" / "checkpoints").glob("env_steps_*"))


def test_full_disk_is_one_line_and_leaves_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    write_arrays = checkpoints.write_arrays

    def full(stream, arrays):
        written.append(None)
        if len(written) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_arrays(stream, arrays)

    monkeypatch.setattr(checkpoints, "write_arrays", full)
    with pytest.raises(RunFailure, match=r"probe-action, env step \d+: .*No space left") as failure:
        surefoot.train(
            "probe-action", algorithm=ALGORITHM, env_steps=900, out=tmp_path / "run", observer=Recording(), **SETTINGS
        )
    assert "\n" not in str(failure.value)
    monkeypatch.undo()
    assert RunDirectory.open(tmp_path / "run").checkpoints.load().env_steps > 0


def test_locked_run_cannot_be_resumed(observed: tuple[Recording, surefoot.Run]) -> None:
    path = observed[1].path
    with RunDirectory.open(path).lock(), pytest.raises(surefoot.UserError, match=r"pid|process"):
        surefoot.resume(path, env_steps=180, observer=Recording())


@pytest.mark.parametrize("resumed", [False, True])
def test_run_is_locked_until_its_loop_is_closed(resumed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, settings = tmp_path / "run", {"algorithm": ALGORITHM, "observer": Recording(), **SETTINGS}
    if resumed:
        surefoot.train("probe-action", env_steps=120, out=out, **settings)
    closed, close = [], TrainingLoop.__exit__

    def checked_close(loop: TrainingLoop, *raised: object) -> None:
        with pytest.raises(surefoot.UserError, match="in use by process"), RunDirectory.open(out).lock():
            pass
        closed.append(loop)
        close(loop, *raised)

    monkeypatch.setattr(TrainingLoop, "__exit__", checked_close)
    if resumed:
        surefoot.resume(out, env_steps=180, observer=Recording())
    else:
        surefoot.train("probe-action", env_steps=120, out=out, **settings)
    assert len(closed) == 1
    with RunDirectory.open(out).lock():
        pass


def test_interrupted_run_is_locked_until_its_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt does not wait for the checkpoint."""
    save, may_end = CheckpointStore.save, threading.Event()

    def slow(store: CheckpointStore, env_steps: int, *arguments: Any, **named: Any) -> Path:
        assert env_steps == 0 or may_end.wait(timeout=60)
        return save(store, env_steps, *arguments, **named)

    class Interrupt(surefoot.Callback):
        def on_step(self, view: surefoot.StepView) -> None:
            if view.env_steps == 65:
                raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointStore, "save", slow)
    out = tmp_path / "run"
    settings = {"algorithm": ALGORITHM, "observer": Recording(), "callbacks": [Interrupt()], **SETTINGS}
    with pytest.raises(KeyboardInterrupt):
        surefoot.train("probe-action", env_steps=120, out=out, **settings)
    with pytest.raises(surefoot.UserError, match="in use by process"):
        surefoot.resume(out, observer=Recording())
    (writing,) = (thread for thread in threading.enumerate() if "checkpoint" in thread.name)
    may_end.set()
    writing.join(timeout=60)
    with RunDirectory.open(out).lock() as directory:
        assert directory.checkpoints.load().env_steps == 60


# ---------------------------------------------------------------- invalid requests


def test_invalid_requests_write_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for settings, message in (
        ({"env_steps": 100}, "warm-up of 100 transitions"),
        ({"env_steps": 0}, "env_steps must be at least 1, got 0"),
        ({"replay_capacity": 10**13}, "lower --replay-capacity"),
        ({"env_workers": -1}, "env_workers must be at least 0, got -1"),
        ({"env_step": 100}, "no setting 'env_step'"),
    ):
        with pytest.raises(surefoot.UserError, match=message) as error:
            surefoot.train("probe-action", algorithm=ALGORITHM, out=out, **({"env_steps": 200} | settings))
        assert "\n" not in str(error.value)
    assert not out.exists()


def test_unsupported_spaces_write_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(surefoot.UserError, match="Discrete"):
        surefoot.train("CartPole-v1", algorithm=ALGORITHM, env_steps=200, out=out)
    assert not out.exists()


def test_existing_run_is_kept_without_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = {"algorithm": ALGORITHM, "env_steps": 101, "out": out, "observer": Recording(), **SETTINGS}
    surefoot.train("probe-action", **settings)
    before = (out / "evaluations.csv").read_bytes()
    with pytest.raises(surefoot.UserError, match="already holds a run"):
        surefoot.train("probe-action", **settings)
    assert (out / "evaluations.csv").read_bytes() == before
    surefoot.train("probe-constant", overwrite=True, **settings)
    assert RunDirectory.open(out).config["task"] == "probe-constant"


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[str]]:
    """Calls of environments and population, without and with overlap."""
    calls_with: dict[bool, list[str]] = {}
    every = [(LocalVectorEnv, "step_async"), (LocalVectorEnv, "step_wait")]
    every += [(Population, name) for name in ("train_step", "update", "reset_networks")]
    for overlap in (False, True):
        calls = calls_with[overlap] = []
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in every:
                patch.setattr(owner, name, _recorded(calls, name, getattr(owner, name)))
            surefoot.train(
                "probe-action",
                algorithm=ALGORITHM,
                env_steps=103,
                overlap=overlap,
                out=tmp_path_factory.mktemp("order") / "run",
                **SETTINGS | {"evaluate_every": 1000, "checkpoint_every": 1000},
            )
    return calls_with


def _recorded(calls: list[str], name: str, function: Any) -> Any:
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        # Evaluations have four environments.
        if not isinstance(self, LocalVectorEnv) or self.num_envs == 2:
            calls.append(name)
        return function(self, *arguments, **named)

    return call


def test_updates_follow_the_environment_step_without_overlap(order: dict[bool, list[str]]) -> None:
    one = ["step_async", "step_wait", "train_step"]
    assert order[False][-7:] == [*one, "step_async", "reset_networks", *one[1:]]


def test_updates_run_during_the_environment_step_with_overlap(order: dict[bool, list[str]]) -> None:
    one = ["step_async", "update", "step_wait", "train_step"]
    assert order[True][-9:] == [*one, "step_async", "reset_networks", *one[1:]]
    # No updates in the warm-up.
    assert order[True].count("update") == 3
