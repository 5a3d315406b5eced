"""Vector steps within the compiled program: as from the host, resumed bit for bit, with failures at their step."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import surefoot
from surefoot.algorithms import ResetEvery
from surefoot.errors import RunFailure, UserError
from surefoot.runs import RunDirectory
from surefoot.tasks import get_task
from surefoot.training import compiled_steps, loop
from surefoot.training.callbacks import Callback, StepView
from surefoot.training.checkpointing.host_state import HostState
from surefoot.training.compiled_steps import CompiledSteps
from surefoot.training.config import TrainConfig
from surefoot.training.counters import Counters
from surefoot.training.plan import make_plan
from surefoot.training.population import Population
from tests.simulators.pendulum import Pendulum, State
from tests.training.recording import Recording
from tests.training.test_num_envs import algorithm
from tests.training.test_resume import assert_same_run, rows_without_clock

ENV_STEPS, CHECKPOINT = 360, 200
LENGTH = 11
"""Of an episode: no checkpoint falls on the end of one."""


TASK = functools.partial(Pendulum, episode_length=LENGTH, top_speed=6.0)


def train(out: Path, task: Any = TASK, **changes: Any) -> surefoot.Run:
    settings: dict[str, Any] = {
        "engine": "jax",
        "algorithm": algorithm(),
        "num_seeds": 2,
        "num_envs": 3,
        "env_steps": ENV_STEPS,
        "checkpoint_every": CHECKPOINT,
        "evaluate_every": 150,
        "log_every": 30,
        "diagnose_every": 150,
        "evaluation_episodes": 1,
        "observer": Recording(),
    }
    return surefoot.train(task, out=out, **(settings | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> surefoot.Run:
    return train(tmp_path_factory.mktemp("compiled") / "run")


class HostSteps(CompiledSteps):
    """The same vector steps one by one, with the functions that other environments use."""

    def __init__(self, population: Population, *others: Any) -> None:
        super().__init__(population, *others)
        self._population = population

    def run(self, state: Any, host: Any, grad_steps: int, limit: int) -> Any:
        plan, before = self._plan, host.agent_steps
        utd = self._population.learner.algorithm.utd
        updates = plan.grad_steps(utd, before + plan.num_envs) - plan.grad_steps(utd, before)
        taken = host.action
        step = self._vector.step(taken)
        host.advance(step, in_warmup=before < plan.random_steps)
        state, action = self._population.train_step(
            state,
            loop._transition(taken, step),
            grad_steps,
            num_updates=updates,
            uniform=host.agent_steps < plan.random_steps,
        )
        host.action = np.array(action)
        for actions in host.episode_actions:
            actions.clear()
        return state, taken, step


def test_equals_steps_from_the_host(whole: surefoot.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CompiledSteps", HostSteps)
    assert_alike(whole, train(tmp_path / "run"))


@pytest.mark.slow
def test_repeated_actions_equal_those_from_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = algorithm().replace(action_repeat=2)
    one = train(tmp_path / "one", algorithm=repeated)
    monkeypatch.setattr(loop, "CompiledSteps", HostSteps)
    assert_alike(one, train(tmp_path / "other", algorithm=repeated))


def assert_alike(whole: surefoot.Run, other: surefoot.Run) -> None:
    """Everything that is counted is equal, and everything that is computed as far as two programs round alike."""
    for name in ("training", "evaluations", "diagnostics"):
        one, two = (rows_without_clock(getattr(run, name)()) for run in (whole, other))
        for column in (name for name in one if not isinstance(one[name][0], str)):
            np.testing.assert_allclose(one[column], two[column], rtol=2e-3, atol=2e-3, err_msg=column)
    last = [RunDirectory.open(run.path).checkpoints.load() for run in (whole, other)]
    first, second = (checkpoint.arrays for checkpoint in last)
    np.testing.assert_array_equal(first["loop"]["episode"], second["loop"]["episode"])
    for name in ("last_return", "episode_return"):
        np.testing.assert_allclose(first["loop"][name], second["loop"][name], rtol=1e-3, err_msg=name)
    counters = [checkpoint.meta["counters"] for checkpoint in last]
    assert counters[0]["random_episodes"] == counters[1]["random_episodes"] > 0
    assert counters[0]["random_return"] == pytest.approx(counters[1]["random_return"], rel=1e-4)
    np.testing.assert_allclose(first["simulator"][".observation"], second["simulator"][".observation"], atol=1e-3)
    stored = [[dict(np.load(path)) for path in checkpoint.segments] for checkpoint in last]
    for one, two in zip(*stored, strict=True):
        np.testing.assert_array_equal(one["terminated"], two["terminated"])
        np.testing.assert_array_equal(one["frame_of"], two["frame_of"])
    assert any(segment["terminated"].any() for segment in stored[0])


def test_number_of_steps_in_a_call_does_not_matter(
    whole: surefoot.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_steps, "_SECONDS", 0.0)  # one step in each
    assert_same_run(train(tmp_path / "run").path, whole.path)


def test_resumed_run_is_the_uninterrupted_one(whole: surefoot.Run, tmp_path: Path) -> None:
    shutil.copytree(whole.path, tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / f"env_steps_{ENV_STEPS:012}"
    shutil.rmtree(last)
    observer = Recording()
    surefoot.resume(tmp_path / "run", task=TASK, observer=observer)
    assert not [line for line in observer.messages if "new episode" in line]
    assert_same_run(tmp_path / "run", whole.path)


def test_run_of_another_environment_is_not_resumed(whole: surefoot.Run, tmp_path: Path) -> None:
    shutil.copytree(whole.path, tmp_path / "run")
    with pytest.raises(UserError, match="has two values of the keyword 'episode_length'"):
        surefoot.resume(tmp_path / "run", task=functools.partial(TASK, episode_length=LENGTH + 1))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["engine"] == "jax"
    with pytest.raises(UserError, match="a name in a run directory does not run code"):
        surefoot.resume(tmp_path / "run")


def test_other_commands_know_the_engine(whole: surefoot.Run, tmp_path: Path) -> None:
    name = "tests.simulators.pendulum:Pendulum"
    last = whole.evaluations()
    _, result = surefoot.evaluate(whole.path, episodes=1, task=name)
    trained = last["return"][last["env_steps"] == ENV_STEPS]
    np.testing.assert_allclose(result.returns.ravel(), trained, rtol=1e-5)
    with pytest.raises(UserError, match="is written in JAX and cannot be filmed"):
        surefoot.record(whole.path, tmp_path / "film.mp4", task=name)
    assert "environments stepped by | the training program (JAX)" in (whole.path / "MODEL_CARD.md").read_text()
    with pytest.raises(UserError, match="an environment written in JAX is trained with --engine jax"):
        surefoot.check_env(Pendulum)


def test_overlap_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="overlap has no effect where the compiled program"):
        train(tmp_path / "run", overlap=True)
    assert not (tmp_path / "run").exists()


@given(
    envs=st.integers(1, 12),
    repeat=st.integers(1, 4),
    intervals=st.tuples(*[st.integers(0, 90)] * 4),
    done=st.integers(0, 40),
)
def test_calls_end_where_something_is_due(envs: int, repeat: int, intervals: tuple[int, ...], done: int) -> None:
    """At the first vector step after which ``Counters.due`` has anything to do, and not later."""
    names = ("log_every", "diagnose_every", "evaluate_every", "checkpoint_every")
    settings = {name: max(interval, 1) for name, interval in zip(names, intervals, strict=True)}
    settings["diagnose_every"] = intervals[1]  # 0 for never
    config = TrainConfig(task="probe-action", algorithm=algorithm("1/12"), env_steps=100_000, **settings)
    plan = dataclasses.replace(
        make_plan(config, get_task("probe-action")), num_envs=envs, action_repeat=repeat, agent_steps=envs * 60
    )
    host = HostState.start(np.zeros((envs, 1)), np.zeros((envs, 1)), envs)
    counters = Counters(plan, 1, host, 0.0)
    host.agent_steps = done * envs
    limit = counters.vector_steps_to_due(config)
    for step in range(1, limit + 1):
        before = counters.env_steps
        host.agent_steps += envs
        assert any(counters.due(before, config)) == (step == limit)


def critic_updates(run: surefoot.Run) -> set[int]:
    arrays = RunDirectory.open(run.path).checkpoints.load().arrays["learner"]
    counts = [value for name, value in arrays.items() if "critic" in name and "count" in name]
    return {int(count) for value in counts for count in np.ravel(value)}


def test_updates_are_those_of_the_plan(whole: surefoot.Run) -> None:
    rows = whole.training()
    np.testing.assert_array_equal(rows["grad_steps"], np.maximum(rows["agent_steps"] - 60, 0) * 2 // 3)
    assert critic_updates(whole) == {rows["grad_steps"].max()}


@pytest.mark.slow
@pytest.mark.parametrize(("utd", "envs"), [("1/4", 2), (2, 1)])
def test_updates_in_some_or_several_per_vector_step(utd: Any, envs: int, tmp_path: Path) -> None:
    run = train(tmp_path / "run", algorithm=algorithm(utd), num_seeds=1, num_envs=envs, diagnose_every=0)
    rows = run.training()
    learnt = np.maximum(rows["agent_steps"] - (59 if envs == 1 else 60), 0)
    np.testing.assert_array_equal(rows["grad_steps"], np.floor(learnt * float(algorithm(utd).utd)))
    assert critic_updates(run) == {rows["grad_steps"].max()}


@pytest.mark.slow
@pytest.mark.parametrize("by_host", [False, True])
def test_networks_are_reset_at_their_step(by_host: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After agent steps 120 and 240, wherever vector steps come from."""
    transitions: list[int] = []
    original = Population.reset_networks

    def reset(self: Population, state: Any) -> Any:
        transitions.append(int(np.asarray(state.replay.num_transitions).sum()) // 2)
        return original(self, state)

    monkeypatch.setattr(Population, "reset_networks", reset)
    monkeypatch.setattr(loop, "CompiledSteps", HostSteps if by_host else CompiledSteps)
    settings: dict[str, Any] = {"diagnose_every": 0, "env_steps": 270}
    train(tmp_path / "run", algorithm=algorithm().replace(resets=ResetEvery(env_steps=120)), **settings)
    assert transitions == [120, 240]


class Last(Callback):
    def __init__(self) -> None:
        self.views: list[StepView] = []

    def on_step(self, view: StepView) -> None:
        self.views.append(view)


def test_callbacks_see_the_last_step_of_every_call(whole: surefoot.Run, tmp_path: Path) -> None:
    last = Last()
    run = train(tmp_path / "run", callbacks=[last])
    assert_same_run(run.path, whole.path)
    steps = [view.env_steps for view in last.views]
    assert steps == sorted(set(steps))
    assert steps[-1] == ENV_STEPS
    assert {*range(30, ENV_STEPS + 1, 30)} <= {*steps}, "a call ends where something is due"
    for view in last.views:
        assert view.reward.shape == (6,)
        assert np.isfinite(view.reward).all()
        assert (view.reward < 0.0).all()


class Breaking(Pendulum):
    """The reward of the 25th step of an episode is NaN, in some episodes."""

    def step(self, state: State, action: jax.Array) -> State:
        stepped = super().step(state, action)
        count = state.info["count"] + 1
        reward = jnp.where((count == 25) & (state.info["odd"]), jnp.nan, stepped.reward)
        return stepped._replace(reward=reward, info={**stepped.info, "count": count, "odd": state.info["odd"]})

    def reset(self, key: jax.Array) -> State:
        first = super().reset(key)
        odd = jax.random.key_data(key)[-1] % 2 == 1
        return first._replace(info={**first.info, "count": jnp.int32(0), "odd": odd})


@pytest.mark.slow
def test_non_finite_reward_ends_the_run_at_its_step(tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match=r"seed \d, environment \d.*non-finite reward") as caught:
        train(tmp_path / "run", functools.partial(Breaking, episode_length=50), env_steps=600)
    kept = RunDirectory.open(tmp_path / "run").checkpoints.load()
    assert kept.env_steps == 0
    assert "env step 72" in str(caught.value), "24 steps of three environments, before the one that failed"
    rows = surefoot.Run(tmp_path / "run", completed=False).training()
    assert rows["env_steps"].max() <= 75


def test_diverged_seed_stops_acting_and_the_other_continues(tmp_path: Path) -> None:
    observer = Recording()

    original = CompiledSteps.run

    def run(self: CompiledSteps, state: Any, host: Any, grad_steps: int, limit: int) -> Any:
        if host.agent_steps == 150:
            learner = state.learner
            broken = jax.tree.map(lambda leaf: leaf.at[1].set(jnp.nan), learner.actor.params)
            state = state._replace(learner=learner._replace(actor=learner.actor._replace(params=broken)))
        return original(self, state, host, grad_steps, min(limit, 5))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CompiledSteps, "run", run)
        finished = train(tmp_path / "run", observer=observer)
    assert finished.completed
    lines = [line for line in observer.messages if "diverged" in line]
    assert len(lines) == 1
    assert lines[0].startswith("seed 1 diverged at env step 153")
    last = finished.evaluations()
    final = last["env_steps"] == ENV_STEPS
    assert np.isnan(last["return"][final & (last["seed"] == 1)]).all()
    assert np.isfinite(last["return"][final & (last["seed"] == 0)]).all()
    loaded = RunDirectory.open(finished.path).checkpoints.load().arrays["loop"]
    assert not loaded["action"][3:].any()
    assert loaded["action"][:3].any()


@pytest.mark.slow
def test_actor_sees_only_its_keys(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"actor_keys": ("state",), "diagnose_every": 0, "num_seeds": 1}
    task = functools.partial(Pendulum, episode_length=LENGTH, keys=True)
    run = train(tmp_path / "run", task, **settings)
    assert run.policy().spaces.observation_keys == ("state",)
