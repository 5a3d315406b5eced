"""Warm starts from another run or recorded transitions."""

from __future__ import annotations

import dataclasses
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import surefoot
from surefoot.errors import UserError
from surefoot.networks import BatchNorm, FlashSACNet
from surefoot.runs import RunDirectory
from surefoot.tasks import get_task
from surefoot.tasks.probes import TruncationProbe
from surefoot.training import api
from surefoot.training.callbacks import Callback, EventDispatcher, StepView, StopTraining
from surefoot.training.checkpointing.arrays import tree_to_arrays
from surefoot.training.config import TrainConfig
from surefoot.training.loop import TrainingLoop
from surefoot.training.plan import Plan, make_plan
from surefoot.training.population import PopulationState
from surefoot.training.warm_start.init_from import SourceRun, _shape
from surefoot.training.warm_start.warm_start import WarmStart
from tests.training.recording import Recording
from tests.training.small import TWO_SEEDS, small
from tests.training.test_resume import assert_same_run

ALGORITHM = small(surefoot.crossq_wn(utd=2))
SETTINGS: dict[str, Any] = {
    "algorithm": ALGORITHM,
    **TWO_SEEDS,
    "env_steps": 160,
    "evaluate_every": 1000,
    "checkpoint_every": 50,
    "evaluation_episodes": 2,
}
TRANSFERRED = (
    ".actor.params",
    ".actor.batch_stats",
    ".critic.params",
    ".critic.batch_stats",
    ".target_critic",
    ".log_alpha",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds."""
    out = tmp_path_factory.mktemp("source") / "run"
    return surefoot.train("probe-truncation", out=out, seed=3, observer=Recording(), **SETTINGS).path


@pytest.fixture(scope="module")
def data(source: Path) -> Path:
    """A file with 120 transitions of the same task in episodes of ten."""
    rng, steps = np.random.default_rng(0), 120
    states = rng.uniform(-1, 1, (steps // 10, 11, 2)).astype(np.float32)
    path = source.parent / "data.npz"
    np.savez(
        path,
        observations=states[:, :-1].reshape(steps, 2),
        next_observations=states[:, 1:].reshape(steps, 2),
        actions=rng.uniform(-1, 1, (steps, 1)),
        rewards=np.ones(steps),
        terminated=np.zeros(steps, bool),
        truncated=np.arange(steps) % 10 == 9,
    )
    return path


class StopAt(Callback):
    def __init__(self, env_steps: int) -> None:
        self._env_steps = env_steps

    def on_step(self, view: StepView) -> None:
        if view.env_steps == self._env_steps:
            raise StopTraining


def initialize(**settings: Any) -> tuple[PopulationState, np.ndarray, Plan]:
    """State before the first step, first actions and plan."""
    config = TrainConfig("probe-truncation", **(SETTINGS | settings))
    task, warm_start = get_task("probe-truncation"), WarmStart(config)
    plan = make_plan(config, task, warm_start.info)
    with TrainingLoop.make(config, plan, task, EventDispatcher(Recording())) as loop:
        loop.prepare(warm_start)
        state, action = loop._initialize(loop._vector.reset([0] * config.num_seeds))
        return state, action, plan


def test_networks_are_transferred_and_the_rest_is_fresh(source: Path) -> None:
    state, _, plan = initialize(init_from=source)
    fresh, _, _ = initialize()
    source_arrays = RunDirectory.open(source).checkpoints.load().arrays["learner"]
    arrays, new = tree_to_arrays(state.learner), tree_to_arrays(fresh.learner)
    assert arrays.keys() == source_arrays.keys()
    for name, array in arrays.items():
        transferred = name.startswith(TRANSFERRED)
        if name != ".key":  # split for the first action
            np.testing.assert_array_equal(array, source_arrays[name] if transferred else new[name], err_msg=name)
        assert not transferred or "batch_stats" in name or not np.array_equal(array, new[name]) or not array.any()
    # The policy collects the transitions of the warm-up.
    assert (plan.warmup_steps, plan.random_steps) == (100, 0)
    assert int(state.replay.num_transitions[0]) == 0


@pytest.mark.slow
def test_one_source_seed_initialises_all_seeds(source: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"num_seeds": 1, "callbacks": [StopAt(60)]}
    one = surefoot.train("probe-truncation", out=tmp_path / "one", observer=Recording(), **settings)
    state, action, _ = initialize(init_from=one.path, init_replay=True)
    kernel = np.asarray(state.learner.actor.params["mean"]["kernel"])
    np.testing.assert_array_equal(kernel[0], kernel[1])
    np.testing.assert_array_equal(state.replay.rewards[0], state.replay.rewards[1])
    assert not np.array_equal(action[0], action[1])  # each seed has its own random numbers


def transitions(replay: Any, seed: int) -> list[np.ndarray]:
    """Transitions of a seed, oldest first: observation, next observation, action, reward, terminated."""
    numbers = np.arange(int(replay.oldest[seed]), int(replay.num_transitions[seed]))
    place, ring = numbers % replay.rewards.shape[1], replay.frames.shape[1]
    frame = np.asarray(replay.frame_of)[seed, place]
    frames = np.asarray(replay.frames)[seed]
    rest = [np.asarray(leaf)[seed, place] for leaf in (replay.actions, replay.rewards, replay.terminated)]
    return [frames[frame % ring], frames[(frame + 1) % ring], *rest]


def test_newest_transitions_that_fit_are_transferred(source: Path) -> None:
    config = TrainConfig("probe-truncation", **(SETTINGS | {"seed": 3}))
    task = get_task("probe-truncation")
    with TrainingLoop.make(config, make_plan(config, task), task, EventDispatcher(Recording())) as loop:
        loop.restore(RunDirectory.open(source))
        full = loop._state.replay
    assert int(full.oldest.max()) > 0
    for room in (None, 110):
        state, _, plan = initialize(init_from=source, init_replay=True, replay_capacity=room)
        held = SourceRun.open(source).held
        assert plan.warm_start.transitions == min(held, room or held) == int(state.replay.num_transitions[0])
        for seed in range(2):
            for own, all_of_source in zip(transitions(state.replay, seed), transitions(full, seed), strict=True):
                np.testing.assert_array_equal(own, all_of_source[-plan.warm_start.transitions :])
        # They count towards the warm-up.
        assert (plan.warmup_steps, plan.random_steps) == (0, 0)


def test_recorded_transitions_count_towards_the_warm_up(data: Path) -> None:
    longer = ALGORITHM.replace(warmup_transitions=130)
    state, _, plan = initialize(prefill=data, algorithm=longer, replay_capacity=None)
    assert (plan.warmup_steps, plan.random_steps, plan.capacity) == (10, 10, 280)
    stored = np.load(data)
    for seed in range(2):
        now, following, action, reward, terminated = transitions(state.replay, seed)
        np.testing.assert_array_equal(now, stored["observations"])
        np.testing.assert_array_equal(following, stored["next_observations"])
        np.testing.assert_allclose(action, stored["actions"], atol=1e-6)
        np.testing.assert_array_equal(reward, stored["rewards"])
        assert not terminated.any()
    with pytest.raises(UserError, match="at least 11, one step more than the warm-up of 10 transitions"):
        initialize(prefill=data, algorithm=longer, env_steps=10)


def assert_resumes_without_its_source(whole: Path, out: Path, origin: Path, **settings: Any) -> None:
    """Train again, stop between two checkpoints, delete the source and resume."""
    observer = Recording()
    surefoot.train("probe-truncation", out=out, observer=observer, callbacks=[StopAt(33)], **(SETTINGS | settings))
    assert any(line.startswith("starts with") and str(origin) in line for line in observer.messages)
    before = json.loads((out / "config.json").read_text())["warm_start"]
    assert str(origin) in (before["init_from"], before["prefill"])
    shutil.rmtree(origin) if origin.is_dir() else origin.unlink()
    surefoot.resume(out, observer=Recording())
    assert json.loads((out / "config.json").read_text())["warm_start"] == before
    assert_same_run(whole, out)


@pytest.mark.slow
def test_resume_without_the_source_run_equals_uninterrupted_run(source: Path, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    shutil.copytree(source, origin)
    settings: dict[str, Any] = {"init_from": origin, "init_replay": True, "env_steps": 70, "seed": 3}
    run = surefoot.train("probe-truncation", out=tmp_path / "whole", observer=Recording(), **(SETTINGS | settings))
    # The first evaluation is that of the source's last policies.
    log, last = run.evaluations(), surefoot.Run(source, completed=True).evaluations()
    np.testing.assert_array_equal(log["return"][log["env_steps"] == 0], last["return"][last["env_steps"] == 160])
    assert_resumes_without_its_source(run.path, tmp_path / "stopped", origin, **settings)


@pytest.mark.slow
def test_prefilled_run_resumes_and_starts_again_bit_exactly(data: Path, tmp_path: Path) -> None:
    origin = tmp_path / "data.npz"
    shutil.copy(data, origin)
    settings: dict[str, Any] = {"prefill": origin, "env_steps": 70}
    whole = surefoot.train(
        "probe-truncation", out=tmp_path / "whole", observer=Recording(), **(SETTINGS | settings)
    ).path
    # Stopped before its first checkpoint:
    shutil.copytree(whole, tmp_path / "killed")
    for folder in ("checkpoints", "replay"):
        shutil.rmtree(tmp_path / "killed" / folder)
    shutil.copytree(tmp_path / "killed", tmp_path / "changed")
    surefoot.resume(tmp_path / "killed", observer=Recording())
    assert_same_run(whole, tmp_path / "killed")
    np.savez(tmp_path / "other.npz", **{name: array[:110] for name, array in np.load(origin).items()})
    (tmp_path / "other.npz").replace(origin)
    with pytest.raises(UserError, match=r"data.npz has changed since this run started from it"):
        surefoot.resume(tmp_path / "changed", observer=Recording())
    shutil.copy(data, origin)
    assert_resumes_without_its_source(whole, tmp_path / "stopped", origin, **settings)


# ---------------------------------------------------------------- invalid requests


def wide() -> gymnasium.Env:
    """The same task with other action bounds."""
    env = TruncationProbe()
    env.action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    return env


def double() -> gymnasium.Env:
    """The same task with actions of another dtype."""
    env = TruncationProbe()
    env.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)
    return env


def test_normalisation_of_every_torso_must_agree() -> None:
    other = FlashSACNet(norm=BatchNorm(epsilon=1e-3))
    assert _shape(FlashSACNet(width=64)) == _shape(FlashSACNet()) != _shape(other)


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (None, {"num_seeds": 3}, r"has 2 seeds and this run 3: expected num_seeds 2, or a run of one seed"),
        (
            None,
            {"algorithm": small(surefoot.crossq_wn(utd=2), width=8)},
            r"actor params torso/dense_0/kernel is \[2, 16\] there, \[2, 8\] here",
        ),
        (None, {"algorithm": ALGORITHM.replace(num_critics=3)}, r"critic .*/.* is \[2, .*\] there, \[3, .*\] here"),
        (None, {"algorithm": small(surefoot.crossq(utd=1))}, "trained with weight_constraint UnitNorm"),
        (None, {"algorithm": small(surefoot.sac())}, "trained with actor MLP"),
        ("Pendulum-v1", {}, "probe-truncation, whose observations have 2 entries; here they have 3"),
        (wide, {"init_replay": True}, r"with action low\[0\] -1.0; .*wide has -2.0: leave init_replay out"),
        (None, {"init_replay": True, "prefill": "x.npz"}, "init_replay and prefill both fill the replay buffer"),
        (None, {"init_from": None, "init_replay": True}, "init_replay needs init_from"),
        (None, {"init_from": Path("nowhere")}, "nowhere is not a run: it is missing"),
        (None, {"init_replay": True, "algorithm": ALGORITHM.replace(action_repeat=2)}, "takes 1 env steps, .* run 2"),
    ],
)
def test_incompatible_source_is_one_line(
    task: Any, settings: dict[str, Any], message: str, source: Path, tmp_path: Path
) -> None:
    settings = SETTINGS | {"init_from": source, "env_steps": 400} | settings
    with pytest.raises(UserError, match=message) as error:
        surefoot.train(task or "probe-truncation", out=tmp_path / "run", observer=Recording(), **settings)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_changed_spaces_of_the_source_are_never_silent(source: Path) -> None:
    run = SourceRun.open(source)
    there = run.spaces
    narrow = dataclasses.replace(there, action=dataclasses.replace(there.action, high=(0.5,)))
    with pytest.raises(UserError, match=r"trained with action high\[0\] 1.0, but .*'probe-truncation' now has 0.5"):
        run.check_spaces(narrow, "probe-truncation")
    assert run.check_spaces(there, "another") is None
    message = run.check_spaces(narrow, "another")
    assert message == f"{source} was trained on probe-truncation with action high[0] 1.0; another has 0.5"


def test_replay_of_another_task_needs_equal_bounds_only(source: Path) -> None:
    config = TrainConfig(double, **(SETTINGS | {"init_from": source, "init_replay": True}))
    task, warm_start = get_task(double), WarmStart(config)
    with TrainingLoop.make(
        config, make_plan(config, task, warm_start.info), task, EventDispatcher(Recording())
    ) as loop:
        loop.prepare(warm_start)


def test_diverged_source_seed_is_an_error(source: Path, tmp_path: Path) -> None:
    run = SourceRun.open(source)
    name = ".actor.params['mean']['bias']"
    run._arrays[name][1] = np.nan  # type: ignore[index]
    with pytest.raises(UserError, match=r"seed 4 of .* diverged: its actor params mean/bias is not finite"):
        run.check(ALGORITHM, 2)


def test_source_run_cannot_be_overwritten(source: Path) -> None:
    with pytest.raises(UserError, match="is the run that overwrite would replace"):
        surefoot.train("probe-truncation", out=source, overwrite=True, init_from=source, **SETTINGS)
    assert RunDirectory.open(source).checkpoints.load().env_steps == 160


def test_concurrent_runs_get_separate_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = get_task("probe-constant")
    (tmp_path / "runs" / "probe-constant-crossq-wn-2").mkdir(parents=True)
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: api._claim(task, ALGORITHM).name, range(16)))
    assert sorted(int(name.rpartition("-")[2]) for name in claimed) == [1, *range(3, 18)]
