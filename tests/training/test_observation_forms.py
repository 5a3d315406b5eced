"""Observations and actions of other forms than flat arrays, from training to the saved policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

import surefoot
from surefoot.errors import RunFailure
from surefoot.tasks import episode_seed, get_task
from surefoot.training.checkpointing.arrays import tree_to_arrays
from tests import traits
from tests.training.recording import Recording
from tests.training.small import small
from tests.training.test_resume import assert_same_run

SETTINGS: dict[str, Any] = {
    "env_steps": 120,
    "evaluate_every": 120,
    "evaluation_episodes": 1,
    "env_workers": 0,
    "observer": Recording(),
}


@pytest.mark.parametrize(
    "env_class",
    [
        traits.NestedObservation,
        pytest.param(traits.RowObservation, marks=pytest.mark.slow),
        pytest.param(traits.Picture, marks=pytest.mark.slow),
    ],
)
def test_policy_plays_the_bare_environment_as_evaluations_do(env_class: Any, tmp_path: Path) -> None:
    run = surefoot.train(env_class, algorithm=small(surefoot.sac()), out=tmp_path / "run", **SETTINGS)
    (recorded,) = run.evaluations()["return"][-1:]
    _, evaluated = surefoot.evaluate(run.path, task=env_class, episodes=1)
    env, policy = env_class(), surefoot.load_policy(run.path)
    obs, _ = env.reset(seed=episode_seed(get_task(env_class).name, policy.seed, "evaluate", 0))
    total, ended = 0.0, False
    while not ended:
        action = policy(obs)
        assert env.action_space.contains(action)
        obs, reward, _, ended, _ = env.step(action)
        total += reward
    np.testing.assert_allclose([recorded, evaluated.returns[0, 0]], total, rtol=1e-6)
    parts = json.loads((run.path / "config.json").read_text())["spaces"]["observation"]
    assert [part["key"] for part in parts] == list(policy.observation_keys or [None])


@pytest.mark.slow
def test_resumed_run_with_uint8_observations_equals_uninterrupted_run(tmp_path: Path) -> None:
    algorithm, task = small(surefoot.sac(), warmup_transitions=50), traits.Picture
    settings = SETTINGS | {"evaluate_every": 65, "replay_capacity": 110, "num_seeds": 2, "env_steps": 130}
    whole = surefoot.train(task, algorithm=algorithm, out=tmp_path / "whole", **settings)
    part = surefoot.train(task, algorithm=algorithm, out=tmp_path / "part", **(settings | {"env_steps": 65}))
    surefoot.resume(part.path, task=task, env_steps=130, observer=Recording())
    assert_same_run(whole.path, part.path)
    for path in (whole.path / "replay").iterdir():
        assert np.load(path)["frames"].dtype == np.uint8


class FloatPicture(traits.Picture):
    """Pictures of float32 with fractions."""

    observation_space = Box(0, 255, (4, 4, 3), np.float32)

    def observe(self) -> Any:
        return super().observe().astype(np.float32) + np.float32(0.5)


@pytest.mark.slow
def test_transferred_observations_take_the_dtype_of_the_run(tmp_path: Path) -> None:
    def train(task: Any, name: str, source: str | None = None) -> Path:
        warm = {} if source is None else {"init_from": tmp_path / source, "init_replay": True}
        return surefoot.train(task, algorithm=small(surefoot.sac()), out=tmp_path / name, **SETTINGS, **warm).path

    train(traits.Picture, "bytes")
    train(FloatPicture, "floats")
    for task, source, dtype in ((traits.Picture, "bytes", np.uint8), (FloatPicture, "bytes", np.float32)):
        segments = (train(task, f"{dtype.__name__} from {source}", source) / "replay").iterdir()
        assert {np.load(path)["frames"].dtype for path in segments} == {np.dtype(dtype)}
    with pytest.raises(surefoot.UserError, match=r"floats does not fit: an observation contains 0.5, expected whole"):
        train(traits.Picture, "bytes from floats", "floats")


class Fraction(traits.Picture):
    """Pictures in [0, 1] in spite of the space."""

    def observe(self) -> Any:
        return super().observe() / 255.0


def test_observation_that_uint8_cannot_hold_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        RunFailure, match=r"the observation contains 0\.\d+, expected whole numbers from 0 to 255"
    ) as error:
        surefoot.train(Fraction, algorithm=small(surefoot.sac()), out=tmp_path / "run", **SETTINGS)
    assert "\n" not in str(error.value)
    agent = surefoot.Agent(Fraction.observation_space, Fraction.action_space, replay_capacity=6_000)
    with pytest.raises(surefoot.UserError, match=r"^obs contains 0.5, expected whole numbers"):
        agent.act(np.full((4, 4, 3), 0.5))


@pytest.mark.slow
def test_agent_stores_and_saves_uint8_observations(tmp_path: Path) -> None:
    env, algorithm = traits.Picture(), small(surefoot.sac(), warmup_transitions=5)
    agent = surefoot.Agent(env.observation_space, env.action_space, algorithm, replay_capacity=20)
    obs, _ = env.reset(seed=0)
    for _ in range(8):
        action = agent.act(obs)
        after, reward, terminated, truncated, _ = env.step(action)
        agent.observe(obs, action, reward, after, terminated, truncated)
        agent.update()
        obs = after
    agent.save(tmp_path / "agent")
    loaded = surefoot.Agent.load(tmp_path / "agent", env.observation_space, env.action_space)
    assert loaded._core._state.replay.frames.dtype == np.uint8
    for one in (agent, loaded):
        one.observe(obs, one.act(obs), 0.0, obs, False, False)
        one.update()
    first, second = (tree_to_arrays(one._core._state) for one in (agent, loaded))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_missing_part_of_an_observation_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        RunFailure, match=r"the observation\['state'\]\[0\] has the keys camera, expected place"
    ) as error:
        surefoot.train(traits.MissingKey, algorithm=small(surefoot.sac()), out=tmp_path / "run", **SETTINGS)
    assert "\n" not in str(error.value)
