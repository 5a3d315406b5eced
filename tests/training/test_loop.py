"""The loop's bookkeeping, from environment to files, and what it does when something breaks."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import ResetAt
from surefoot.errors import RunFailure
from surefoot.runs import CheckpointStore, RunDirectory
from surefoot.tasks import get_task
from surefoot.tasks.vector import LocalVectorEnv, WorkerVectorEnv
from surefoot.training import api
from surefoot.training.callbacks import EventDispatcher
from surefoot.training.config import TrainConfig
from surefoot.training.events import EvaluationDone, RunFinished, RunStarted
from surefoot.training.loop import TrainingLoop
from surefoot.training.plan import make_plan
from surefoot.training.population import Population
from surefoot.training.runtime.signals import StopSignal
from tests.tasks import zoo
from tests.training.recording import Recording
from tests.training.small import small

ALGORITHM = small(surefoot.crossq_wn(utd=2))
CADENCES = {
    "evaluate_every": 50,
    "checkpoint_every": 60,
    "log_every": 40,
    "evaluation_episodes": 2,
    "replay_capacity": 300,  # one shape for all, compiled once
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, surefoot.Run]:
    watcher = Recording()
    out = tmp_path_factory.mktemp("loop") / "run"
    run = surefoot.train(
        "probe-action", algorithm=ALGORITHM, env_steps=170, num_seeds=2, seed=5, out=out, observer=watcher, **CADENCES
    )
    return watcher, run


def test_evaluations_come_at_step_0_at_the_cadence_and_at_the_end(watched: tuple[Recording, surefoot.Run]) -> None:
    watcher, run = watched
    told = [event.env_steps for event in watcher.events if isinstance(event, EvaluationDone)]
    assert told == [0, 50, 100, 150, 170]
    written = run.evaluations()
    assert sorted(set(written["env_steps"].tolist())) == told
    # One row per evaluation, seed and episode.
    assert len(written["seed"]) == 5 * 2 * 2
    assert set(written["seed"].tolist()) == {5, 6}


def test_counters_keep_their_units(watched: tuple[Recording, surefoot.Run]) -> None:
    _, run = watched
    log = run.training()
    assert sorted(set(log["env_steps"].tolist())) == [40, 80, 120, 160]
    np.testing.assert_array_equal(log["agent_steps"], log["env_steps"])  # probes repeat no action
    expected = 2 * np.maximum(0, log["agent_steps"] - ALGORITHM.warmup_transitions)
    np.testing.assert_array_equal(log["grad_steps"], expected)
    # Nothing was learned in the warm-up, and every row after it has its losses.
    np.testing.assert_array_equal(np.isnan(log["critic_loss"]), log["grad_steps"] == 0)


def test_run_tells_where_it_started_and_how_it_ended(watched: tuple[Recording, surefoot.Run]) -> None:
    watcher, run = watched
    started, finished = watcher.events[0], watcher.events[-1]
    assert isinstance(started, RunStarted)
    assert isinstance(finished, RunFinished)
    assert (started.start_env_steps, started.env_steps, started.seeds) == (0, 170, (5, 6))
    assert finished.completed
    assert run.completed
    assert finished.path == run.path
    assert -2.0 < finished.random_return < 0.0


def test_config_says_everything(watched: tuple[Recording, surefoot.Run]) -> None:
    config = json.loads((watched[1].path / "config.json").read_text())
    assert config["task"] == "probe-action"
    assert config["seeds"] == [5, 6]
    assert config["algorithm"]["utd"] == 2
    assert config["resolved"]["discount"] == get_task("probe-action").discount
    assert {"jax", "numpy", "python"} <= config["machine"]["versions"].keys()


def test_policy_is_that_of_the_learner(watched: tuple[Recording, surefoot.Run]) -> None:
    _, run = watched
    config = TrainConfig("probe-action", ALGORITHM, num_seeds=2, seed=5, env_steps=170, **CADENCES)
    task = get_task("probe-action")
    with TrainingLoop.make(config, make_plan(config, task), task, EventDispatcher(Recording())) as loop:
        loop.restore(RunDirectory.open(run.path))
        observation = np.random.default_rng(0).uniform(-1, 1, (2, 20, 2)).astype(np.float32)
        trained = loop._population.act_deterministic(loop._state.learner, observation)
    for i, seed in enumerate((5, 6)):
        np.testing.assert_allclose(run.policy(seed)(observation[i]), trained[i], atol=1e-5)


def test_evaluate_plays_the_saved_policies(watched: tuple[Recording, surefoot.Run]) -> None:
    _, run = watched
    seeds, played = surefoot.evaluate(run.path, episodes=2)
    log = run.evaluations()
    last = log["env_steps"] == 170
    assert seeds == (5, 6)
    # The same episodes as training's last evaluation, with NumPy in place of JAX.
    np.testing.assert_allclose(played.returns.reshape(-1), log["return"][last], atol=1e-3)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("make", "terminates"), [(zoo.terminating, True), (zoo.truncating, False)])
def test_a_time_limit_is_stored_as_no_termination(make: object, terminates: bool, workers: int, tmp_path: Path) -> None:
    config = TrainConfig(
        make, ALGORITHM, num_seeds=2, env_steps=101, out=tmp_path / "run", env_workers=workers, **CADENCES
    )
    task = get_task(make)
    watcher = Recording()
    with TrainingLoop.make(config, make_plan(config, task), task, EventDispatcher(watcher)) as loop:
        directory = RunDirectory.create(tmp_path / "run", {})
        with directory.lock(), StopSignal() as stop:
            loop.start(directory)
            loop.run(stop)
        replay = loop._state.replay
    for seed in range(2):
        one = jax.tree.map(lambda leaf, seed=seed: np.asarray(leaf[seed]), replay)
        # Such short episodes need more frames than there is room for: the oldest transitions have left.
        stored = np.arange(int(one.oldest), 101)
        assert len(stored) > 80
        frame = one.frame_of[stored]
        current, following = one.frames[frame % len(one.frames)], one.frames[(frame + 1) % len(one.frames)]
        # Episodes count 0, 1, 2, 3: no transition reaches over an episode's end, and none loses its last state.
        np.testing.assert_array_equal(following[:, 0], current[:, 0] + 1.0)
        np.testing.assert_array_equal(following[:, 1], current[:, 1])
        np.testing.assert_array_equal(one.rewards[stored], following[:, 0])
        ends = following[:, 0] == zoo.EPISODE_STEPS
        np.testing.assert_array_equal(ends, stored % zoo.EPISODE_STEPS == zoo.EPISODE_STEPS - 1)
        np.testing.assert_array_equal(one.terminated[stored], ends & terminates)


# ---------------------------------------------------------------- what breaks


def break_late(env: zoo.Counter) -> None:
    """Return NaN from the 240th episode on, long after the first checkpoint."""
    break_late.calls = getattr(break_late, "calls", 0) + 1  # type: ignore[attr-defined]
    if break_late.calls > 60:  # type: ignore[attr-defined]
        env.buffer[1] = np.nan


def test_environment_that_breaks_is_one_line_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    break_late.calls = 0  # type: ignore[attr-defined]
    out = tmp_path / "run"
    with pytest.raises(RunFailure) as failure:
        surefoot.train(
            zoo.failing(break_late), algorithm=ALGORITHM, env_steps=500, out=out, observer=Recording(), **CADENCES
        )
    line = str(failure.value)
    assert "\n" not in line
    for part in ("seed 0", "env step", "observation"):
        assert part in line
    checkpoint = RunDirectory.open(out).checkpoints.load()
    assert checkpoint.env_steps > 0
    assert not checkpoint.skipped


def test_environment_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=r"zoo:nan_on_reset, seed 0, at the start: .*observation") as failure:
        surefoot.train(zoo.nan_on_reset, algorithm=ALGORITHM, env_steps=500, out=tmp_path / "run", **CADENCES)
    assert "\n" not in str(failure.value)


def diverge(loop: TrainingLoop, seeds: list[int]) -> None:
    """Put a NaN into the actors of some seeds, as an update that overflows would."""
    head = loop._state.learner.actor.params["mean"]
    head["bias"] = head["bias"].at[np.array(seeds)].set(np.nan)


@pytest.mark.parametrize("lost", [[1], [0, 1]])
def test_seed_that_diverges_is_told_once_and_the_others_go_on(lost: list[int], tmp_path: Path) -> None:
    config = TrainConfig("probe-action", ALGORITHM, num_seeds=2, env_steps=170, out=tmp_path / "run", **CADENCES)
    task, watcher = get_task("probe-action"), Recording()
    with TrainingLoop.make(config, make_plan(config, task), task, EventDispatcher(watcher)) as loop:
        directory = RunDirectory.create(tmp_path / "run", {})
        with directory.lock(), StopSignal() as stop:
            loop.start(directory)
            diverge(loop, lost)
            if len(lost) == 2:
                with pytest.raises(RunFailure, match=r"probe-action, seed 0, env step \d+: .*no other seed is left"):
                    loop.run(stop)
                return
            loop.run(stop)
    assert [line.split(":")[0] for line in watcher.messages] == ["seed 1 diverged at env step 50"]
    log = surefoot.Run(tmp_path / "run", completed=True).evaluations()
    late = log["env_steps"] > 0
    np.testing.assert_array_equal(np.isnan(log["return"][late]), log["seed"][late] == 1)
    assert surefoot.load_policy(tmp_path / "run").seed == 0
    with pytest.raises(surefoot.UserError, match="1"):
        surefoot.load_policy(tmp_path / "run", seed=1)


def test_worker_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    killed = []
    step_async = WorkerVectorEnv.step_async

    def kill_once(self: WorkerVectorEnv, actions: np.ndarray) -> None:
        if not killed and int(self.episodes[0]) == 40:
            killed.append(self.worker_pids[1])
            os.kill(killed[0], signal.SIGKILL)
        step_async(self, actions)

    monkeypatch.setattr(WorkerVectorEnv, "step_async", kill_once)
    settings = {"num_seeds": 2, "env_workers": 2, "env_steps": 500, "observer": Recording(), **CADENCES}
    with pytest.raises(RunFailure, match=r"seed 1, env step 1\d\d: .*worker") as failure:
        surefoot.train(zoo.terminating, algorithm=ALGORITHM, out=tmp_path / "run", **settings)
    assert "\n" not in str(failure.value)
    assert RunDirectory.open(tmp_path / "run").checkpoints.load().env_steps > 0


def test_disk_that_fills_is_one_line_and_leaves_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from surefoot.runs import checkpoints

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
            "probe-action", algorithm=ALGORITHM, env_steps=900, out=tmp_path / "run", observer=Recording(), **CADENCES
        )
    assert "\n" not in str(failure.value)
    monkeypatch.undo()
    assert RunDirectory.open(tmp_path / "run").checkpoints.load().env_steps > 0


def test_second_process_on_one_run_is_refused(watched: tuple[Recording, surefoot.Run]) -> None:
    path = watched[1].path
    with RunDirectory.open(path).lock(), pytest.raises(surefoot.UserError, match=r"pid|process"):
        surefoot.resume(path, env_steps=180, observer=Recording())


@pytest.mark.parametrize("resumed", [False, True])
def test_a_run_is_locked_until_its_loop_is_closed(
    resumed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "run", {"algorithm": ALGORITHM, "observer": Recording(), **CADENCES}
    if resumed:
        surefoot.train("probe-action", env_steps=120, out=out, **settings)
    closed, close = [], TrainingLoop.__exit__

    def watched_close(loop: TrainingLoop, *raised: object) -> None:
        with pytest.raises(surefoot.UserError, match="in use by process"), RunDirectory.open(out).lock():
            pass
        closed.append(loop)
        close(loop, *raised)

    monkeypatch.setattr(TrainingLoop, "__exit__", watched_close)
    if resumed:
        surefoot.resume(out, env_steps=180, observer=Recording())
    else:
        surefoot.train("probe-action", env_steps=120, out=out, **settings)
    assert len(closed) == 1
    with RunDirectory.open(out).lock():
        pass  # Free again.


def test_an_interrupted_run_is_locked_until_its_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt does not wait for it, and nobody else may begin to write meanwhile."""
    save, may_end = CheckpointStore.save, threading.Event()

    def slow(store: CheckpointStore, env_steps: int, *arguments: Any, **named: Any) -> Path:
        assert env_steps == 0 or may_end.wait(timeout=60)
        return save(store, env_steps, *arguments, **named)

    class Impatient(surefoot.Callback):
        def on_step(self, view: surefoot.StepView) -> None:
            if view.env_steps == 65:
                raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointStore, "save", slow)
    out = tmp_path / "run"
    settings = {"algorithm": ALGORITHM, "observer": Recording(), "callbacks": [Impatient()], **CADENCES}
    with pytest.raises(KeyboardInterrupt):
        surefoot.train("probe-action", env_steps=120, out=out, **settings)
    with pytest.raises(surefoot.UserError, match="in use by process"):
        surefoot.resume(out, observer=Recording())
    (writing,) = (thread for thread in threading.enumerate() if "checkpoint" in thread.name)
    may_end.set()
    writing.join(timeout=60)
    with RunDirectory.open(out).lock() as directory:
        assert directory.checkpoints.load().env_steps == 60


# ---------------------------------------------------------------- what is refused before anything is written


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"env_steps": 100}, "warm-up of 100 transitions"),
        ({"env_steps": 0}, "env_steps must be at least 1, got 0"),
        ({"env_steps": -5}, "env_steps must be at least 1, got -5"),
        ({"num_seeds": 0}, "num_seeds must be at least 1, got 0"),
        ({"seed": -1}, "seed must be"),
        ({"evaluation_episodes": 0}, "evaluation_episodes"),
        ({"replay_capacity": 50}, "replay_capacity must hold"),
        ({"replay_capacity": 10**13}, "lower --replay-capacity"),
        ({"env_workers": -1}, "env_workers"),
        ({"env_steps": 200.5}, "env_steps must be a whole number, got 200.5"),
        ({"seed": "one"}, "seed must be a whole number, got 'one'"),
        ({"env_step": 100}, "no setting 'env_step'"),
    ],
)
def test_bad_setting_is_one_line_and_writes_nothing(settings: dict, said: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(surefoot.UserError, match=said) as failure:
        surefoot.train("probe-action", algorithm=ALGORITHM, out=out, **({"env_steps": 200} | settings))
    assert "\n" not in str(failure.value)
    assert not out.exists()


def test_whole_numbers_may_come_as_floats_or_from_numpy() -> None:
    config = TrainConfig("probe-action", ALGORITHM, env_steps=2e5, seed=np.int64(3), replay_capacity=1e5)
    assert (config.env_steps, config.seed, config.replay_capacity) == (200_000, 3, 100_000)
    assert {type(config.env_steps), type(config.seed), type(config.replay_capacity)} == {int}


def test_unsupported_spaces_write_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(surefoot.UserError, match="Discrete"):
        surefoot.train("CartPole-v1", algorithm=ALGORITHM, env_steps=200, out=out)
    assert not out.exists()


def test_run_that_is_there_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = {"algorithm": ALGORITHM, "env_steps": 101, "out": out, "observer": Recording(), **CADENCES}
    surefoot.train("probe-action", **settings)
    before = (out / "evaluations.csv").read_bytes()
    with pytest.raises(surefoot.UserError, match="already holds a run"):
        surefoot.train("probe-action", **settings)
    assert (out / "evaluations.csv").read_bytes() == before
    surefoot.train("probe-constant", overwrite=True, **settings)
    assert api.RunDirectory.open(out).config["task"] == "probe-constant"


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[str]]:
    """What the loop asks of environments and learner in its last agent steps, without and with overlap."""
    asked: dict[bool, list[str]] = {}
    every = [(LocalVectorEnv, "step_async"), (LocalVectorEnv, "step_wait")]
    every += [(Population, name) for name in ("train_step", "update", "reset_networks")]
    for overlap in (False, True):
        calls = asked[overlap] = []
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in every:
                patch.setattr(owner, name, _recorded(calls, name, getattr(owner, name)))
            surefoot.train(
                "probe-action",
                algorithm=dataclasses.replace(ALGORITHM, resets=ResetAt((ALGORITHM.warmup_transitions + 3,))),
                env_steps=ALGORITHM.warmup_transitions + 3,
                overlap=overlap,
                out=tmp_path_factory.mktemp("order") / "run",
                **CADENCES | {"evaluate_every": 1000, "checkpoint_every": 1000},
            )
    return asked


def _recorded(calls: list[str], name: str, function: Any) -> Any:
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        # An evaluation steps environments of its own, which are no part of the order.
        if not isinstance(self, LocalVectorEnv) or self.num_envs == 1:
            calls.append(name)
        return function(self, *arguments, **named)

    return call


def test_updates_follow_the_step_that_they_may_draw(order: dict[bool, list[str]]) -> None:
    one = ["step_async", "step_wait", "train_step"]
    assert order[False][-7:] == [*one, "step_async", "reset_networks", *one[1:]]


def test_overlapped_updates_run_while_the_environments_step(order: dict[bool, list[str]]) -> None:
    one = ["step_async", "update", "step_wait", "train_step"]
    assert order[True][-9:] == [*one, "step_async", "reset_networks", *one[1:]]
    # The warm-up has nothing to overlap with.
    assert order[True].count("update") == 3


def test_overlap_keeps_every_count(watched: tuple[Recording, surefoot.Run], tmp_path: Path) -> None:
    _, paper = watched
    run = surefoot.train(
        "probe-action",
        algorithm=ALGORITHM,
        env_steps=170,
        num_seeds=2,
        seed=5,
        out=tmp_path / "run",
        overlap=True,
        **CADENCES,
    )
    for rows, expected in ((run.training(), paper.training()), (run.evaluations(), paper.evaluations())):
        for name in ("seed", "env_steps", "agent_steps", "grad_steps"):
            np.testing.assert_array_equal(rows[name], expected[name])
    # The same updates of other batches: it is not the same run.
    assert not np.array_equal(run.training()["critic_loss"], paper.training()["critic_loss"], equal_nan=True)
