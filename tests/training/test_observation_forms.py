"""Observations and actions of other forms than flat arrays, from training to the saved policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.errors import RunFailure
from surefoot.tasks import episode_seed, get_task
from tests import traits
from tests.training.recording import Recording
from tests.training.small import small

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


def test_missing_part_of_an_observation_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        RunFailure, match=r"the observation\['state'\]\[0\] has the keys camera, expected place"
    ) as error:
        surefoot.train(traits.MissingKey, algorithm=small(surefoot.sac()), out=tmp_path / "run", **SETTINGS)
    assert "\n" not in str(error.value)
