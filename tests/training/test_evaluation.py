"""Evaluation: paired episodes, waves of environments, success and scores."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest

from surefoot.errors import RunFailure
from surefoot.tasks import get_task
from surefoot.training import evaluation
from surefoot.training.evaluation import EvaluationResult, Evaluator, environments_per_seed
from surefoot.training.logs import evaluation_rows
from tests.tasks import zoo


def still(observation: np.ndarray) -> np.ndarray:
    return np.zeros((*observation.shape[:2], 1), np.float32)


def evaluate(seeds: tuple[int, ...], episodes: int, task: Any = zoo.terminating, workers: int = 0) -> EvaluationResult:
    with Evaluator(get_task(task), seeds, episodes, num_workers=workers) as evaluator:
        return evaluator.run(still)


class Starts(zoo.Counter):
    """The return is the episode's random start."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, float(observation[1]) if terminated else 0.0, terminated, truncated, info


def starts() -> gymnasium.Env:
    return Starts()


def test_returns_and_lengths_cover_whole_episodes() -> None:
    result = evaluate((0, 1), 3)
    np.testing.assert_array_equal(result.returns, np.full((2, 3), 1.0 + 2.0 + 3.0))
    np.testing.assert_array_equal(result.lengths, np.full((2, 3), zoo.EPISODE_STEPS))
    assert result.success_any is None


def test_evaluations_use_the_same_episodes() -> None:
    with Evaluator(get_task(starts), (0, 1), 4) as evaluator:
        first, second = evaluator.run(still), evaluator.run(still)
    np.testing.assert_array_equal(first.returns, second.returns)
    assert len(np.unique(first.returns)) == 8


def test_episodes_do_not_depend_on_other_seeds_or_workers() -> None:
    together = evaluate((0, 1, 2), 3, starts).returns
    np.testing.assert_array_equal(evaluate((1,), 3, starts).returns, together[1:2])
    np.testing.assert_array_equal(evaluate((0, 1, 2), 3, starts, workers=2).returns, together)


def test_results_do_not_depend_on_the_number_of_environments(monkeypatch: Any) -> None:
    expected = evaluate((0, 1), 5, starts).returns
    monkeypatch.setattr(evaluation, "_MAX_ENVIRONMENTS", 4)
    np.testing.assert_array_equal(evaluate((0, 1), 5, starts).returns, expected)


def test_endless_episode_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> gymnasium.Env:
        return zoo.Echo(gymnasium.spaces.Box(-1.0, 1.0, (1,)))

    monkeypatch.setattr(evaluation, "_MAX_EPISODE_STEPS", 50)
    message = r"seed 3: .* has not ended after 50 env steps: .*TimeLimit\(env, max_episode_steps=1000\)"
    with Evaluator(get_task(never), (3,), 1, action_repeat=2) as evaluator, pytest.raises(RunFailure, match=message):
        evaluator.run(still)
    assert evaluate((0,), 20).returns.shape == (1, 20)  # the limit is per episode
    monkeypatch.setattr(evaluation, "_MAX_EPISODE_STEPS", 1)
    assert evaluate((0,), 1, "probe-truncation").lengths == 10  # declares its limit


def test_success_columns() -> None:
    episodes = EvaluationResult(
        returns=np.array([[1.0, 2.0]]),
        lengths=np.array([[100, 60]]),
        success_any=np.array([[True, False]]),
        success_last=np.array([[False, False]]),
        first_success=np.array([[34, 0]]),
    )
    task = get_task("myo-key-turn")
    solved, unsolved = evaluation_rows(task, (7,), {"env_steps": 10}, episodes)
    assert (solved["seed"], solved["episode"], solved["env_steps"]) == (7, 0, 10)
    assert (solved["success_any"], solved["success_last"], solved["first_success_env_step"]) == (True, False, 34)
    assert (unsolved["success_any"], unsolved["first_success_env_step"]) == (False, None)
    assert (solved["score"], unsolved["score"]) == (1.0, 0.0)
    diverged = dataclasses.replace(episodes, returns=np.array([[np.nan, 2.0]]))
    np.testing.assert_array_equal(diverged.scores(task), [[np.nan, 0.0]])
    nothing, _ = evaluation_rows(task, (7,), {"env_steps": 10}, diverged)
    assert "success_any" not in nothing
    assert nothing["length_env_steps"] == 100


def test_waves_are_of_equal_size_where_they_can_be() -> None:
    """The number of environments at a time decides how many episodes are played beyond those wanted."""
    assert [environments_per_seed(seeds, 5) for seeds in (1, 6, 8, 10, 16, 40)] == [5, 5, 3, 3, 2, 1]


def test_dm_control_score_is_a_thousandth_of_the_return() -> None:
    episodes = EvaluationResult(np.array([[250.0]]), np.array([[1000]]), None, None, None)
    (row,) = evaluation_rows(get_task("cheetah-run"), (0,), {}, episodes)
    assert row["score"] == 0.25
    assert "success_any" not in row
