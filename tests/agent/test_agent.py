"""Agents in custom loops: equality with the trainer, units, and error messages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest

import surefoot
from surefoot.agent.core import _take_means
from surefoot.machine import fastest_precision
from surefoot.runs import RunDirectory
from surefoot.tasks import episode_seed, get_task
from surefoot.training.checkpointing.arrays import tree_to_arrays
from surefoot.training.population import get_population
from surefoot.types import EnvSpec
from tests.agent.support import ACTION, DICT, OBSERVATION, Robot, agent, tiny


@pytest.fixture(scope="module")
def trained() -> surefoot.Agent:
    made = agent()
    Robot().drive(made, 30)
    return made


# ---------------------------------------------------------------- equality with the trainer


@pytest.mark.parametrize("task_name", [pytest.param("probe-termination", marks=pytest.mark.slow), "probe-truncation"])
def test_custom_loop_equals_trainer_bit_for_bit(task_name: str, tmp_path: Path) -> None:
    steps, seed, algorithm = 60, 3, tiny()
    surefoot.train(
        task_name, algorithm=algorithm, seed=seed, env_steps=steps, evaluate_every=steps, checkpoint_every=steps,
        evaluation_episodes=1, log_every=7, out=tmp_path / "run",
    )  # fmt: skip
    checkpoint = RunDirectory.open(tmp_path / "run").checkpoints.load().arrays["learner"]

    task = get_task(task_name)
    env = task.make()
    mine = surefoot.Agent(
        env.observation_space, env.action_space, algorithm, seed, replay_capacity=60, discount=task.discount
    )
    episode = 0
    obs, _ = env.reset(seed=episode_seed(task.name, seed, "train", episode))
    for _ in range(steps):
        action = mine.act(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        mine.observe(obs, action, reward, next_obs, terminated, truncated)
        mine.update()
        obs = next_obs
        if terminated or truncated:
            episode += 1
            obs, _ = env.reset(seed=episode_seed(task.name, seed, "train", episode))
    mine.act(obs)  # the trainer chooses its next action before a checkpoint
    assert mine.grad_steps == 2 * (steps - 20)
    own = tree_to_arrays(mine._core._state.learner)
    assert own.keys() == checkpoint.keys()
    for name, array in own.items():
        np.testing.assert_array_equal(array, checkpoint[name], err_msg=name)


def test_buffer_equals_observed_transitions_across_ends_and_gaps() -> None:
    made, rng = agent(algorithm=tiny(warmup_transitions=5), replay_capacity=8), np.random.default_rng(0)
    kept, obs = [], rng.normal(size=3).astype(np.float32)
    for step in range(21):
        action, reward, after = made.act(obs), float(rng.normal()), rng.normal(size=3).astype(np.float32)
        terminated, truncated = step % 5 == 4, step % 7 == 6
        made.observe(obs, action, reward, after, terminated, truncated)
        kept.append((obs, reward, after, terminated))
        # Every third observation is unrelated to the previous one, without an end of the episode.
        obs = rng.normal(size=3).astype(np.float32) if step % 3 == 0 or terminated or truncated else after
    buffer = jax.tree.map(lambda leaf: np.asarray(leaf)[0], made._core._state.replay)
    assert 3 <= buffer.num_transitions - buffer.oldest <= 8
    for number in range(int(buffer.oldest), int(buffer.num_transitions)):
        before, reward, after, terminated = kept[number]
        frame, place = buffer.frame_of[number % 8], number % 8
        np.testing.assert_array_equal(buffer.frames[frame % len(buffer.frames)], before)
        np.testing.assert_array_equal(buffer.frames[(frame + 1) % len(buffer.frames)], after)
        assert (buffer.rewards[place], buffer.terminated[place]) == (np.float32(reward), terminated)


def test_agent_and_trainer_share_compiled_programs() -> None:
    assert agent()._core._population is get_population(tiny(), EnvSpec(3, 2), 0.99, fastest_precision())


def test_nothing_is_compiled_after_compile(caplog: pytest.LogCaptureFixture) -> None:
    made = agent(algorithm=tiny(batch_size=12))  # a population of its own
    _take_means.clear_cache()  # type: ignore[attr-defined]
    with jax.log_compiles():
        made.compile()
        assert "XLA compilation" in caplog.text
        caplog.clear()
        Robot().drive(made, 22)
        made.act(np.zeros(3), deterministic=True)
    assert made.grad_steps == 4
    assert [record.getMessage() for record in caplog.records if "XLA compilation" in record.getMessage()] == []


# ---------------------------------------------------------------- warm-up, updates, metrics


def test_no_update_during_warmup() -> None:
    made, robot = agent(), Robot()
    before = made.policy()(np.ones(3))
    robot.drive(made, 20)
    assert (made.agent_steps, made.grad_steps, made.update()) == (20, 0, None)
    np.testing.assert_array_equal(made.policy()(np.ones(3)), before)
    robot.drive(made, 1)
    assert (made.agent_steps, made.grad_steps) == (21, 2)
    robot.drive(made, 1)  # policy_delay 3: the policy first changes in the third update
    assert np.any(made.policy()(np.ones(3)) != before)


def test_warmup_actions_are_uniform_over_the_space() -> None:
    made = agent()
    drawn = np.array([made.act(np.zeros(3)) for _ in range(400)])
    middle, half = (ACTION.high + ACTION.low) / 2, (ACTION.high - ACTION.low) / 2
    unit = (drawn - middle) / half
    assert np.abs(unit).max() <= 1.0
    assert np.abs(unit).max(axis=0).min() > 0.97
    np.testing.assert_allclose(unit.std(axis=0), 1 / np.sqrt(3), atol=0.06)


def test_metrics_are_means_over_the_updates_of_a_call(trained: surefoot.Agent) -> None:
    by_start = {}
    for _ in range(3):  # calls of two updates each, of which every third one updates the actor too
        before = trained.grad_steps
        metrics = trained.update()
        assert metrics is not None
        assert np.isfinite([float(value) for value in metrics.critic]).all()
        expected = [number for number in (before + 1, before + 2) if number % 3 == 0]
        assert np.isnan(float(metrics.actor.entropy)) == (not expected)
        by_start[before] = metrics
    temperatures = [float(metrics.actor.temperature) for metrics in by_start.values()]
    # Means, not sums: the temperature starts at 1 and moves by at most its learning rate.
    assert np.nanmax(np.abs(np.array(temperatures) - 1.0)) < 0.1


# ---------------------------------------------------------------- units


def test_spaces_and_algorithm_are_the_given_ones(trained: surefoot.Agent) -> None:
    assert (trained.observation_space, trained.action_space) == (OBSERVATION, ACTION)
    assert trained.algorithm == tiny()


def test_actions_have_the_spaces_units_shape_and_dtype() -> None:
    space = gymnasium.spaces.Box(np.array([[-2.0], [0.1]]), np.array([[3.0], [0.7]]), dtype=np.float64)
    made = agent(action_space=space)
    for deterministic in (False, True):
        action = made.act(np.zeros(3), deterministic)
        assert space.contains(action)
        assert action.dtype == np.float64
    for end, unit in ((space.low, -1.0), (space.high, 1.0)):
        np.testing.assert_array_equal(made._core.setting.spaces.to_unit(end), [unit, unit])
        np.testing.assert_allclose(made._core.setting.spaces.to_action(np.full(2, unit, np.float32)), end, rtol=1e-7)


def test_deterministic_action_equals_numpy_policy(trained: surefoot.Agent) -> None:
    for obs in np.random.default_rng(1).normal(size=(20, 3)):
        np.testing.assert_allclose(trained.act(obs, deterministic=True), trained.policy()(obs), atol=1e-5)


def test_dict_observations_are_concatenated_in_the_spaces_order() -> None:
    made = agent(observation_space=DICT)
    obs = {"arm": 5.0, "pose": np.array([[1, 2], [3, 4]])}
    np.testing.assert_array_equal(made._core.setting.spaces.to_flat(obs, "obs"), np.float32([1, 2, 3, 4, 5]))
    assert made.policy().observation_keys == ("pose", "arm")
    np.testing.assert_allclose(made.act(obs, deterministic=True), made.policy()(obs), atol=1e-5)


def test_saved_policy_loads_and_does_not_change_with_updates(trained: surefoot.Agent, tmp_path: Path) -> None:
    trained.save_policy(tmp_path / "policy")
    loaded = surefoot.load_policy(tmp_path / "policy")
    np.testing.assert_array_equal(loaded(np.ones(3)), trained.policy()(np.ones(3)))
    assert (loaded.task, loaded.env_steps, loaded.algorithm) == ("own-loop", trained.agent_steps, "crossq-wn")
    before = trained.policy()
    kept = before(np.ones(3))
    trained.update()
    trained.update()
    np.testing.assert_array_equal(before(np.ones(3)), kept)


def test_buffer_copies_the_callers_arrays() -> None:
    made = agent()
    obs, after = np.zeros(3), np.ones(3)
    made.observe(obs, made.act(obs), 0.0, after, False, False)
    obs += 7.0
    after += 7.0
    frames = np.asarray(made._core._state.replay.frames)[0]
    np.testing.assert_array_equal(frames[1:3], [[0, 0, 0], [1, 1, 1]])


# ---------------------------------------------------------------- invalid input


def one_transition(**changes: Any) -> dict[str, Any]:
    good = {"obs": np.zeros(3), "action": np.array([0.0, 0.5]), "reward": 1.0, "next_obs": np.ones(3)}
    return {**good, "terminated": False, "truncated": False, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": np.zeros(4)}, r"obs has shape \(4,\), expected \(3,\)"),
        ({"obs": np.array([0, np.nan, 0])}, "obs contains NaN"),
        ({"next_obs": np.array([0, 1e300, 0])}, "next_obs contains NaN or a number that is infinite"),
        ({"next_obs": {"pose": 1}}, "next_obs is not an array of numbers"),
        ({"obs": ["a", "b", "c"]}, "obs is not an array of numbers"),
        ({"obs": [[1], [2, 3], 4]}, "obs is not an array of numbers: .*inhomogeneous"),
        ({"action": np.array([0.0])}, r"action has shape \(1,\), expected \(2,\)"),
        ({"action": np.array([0.0, 0.8])}, r"action is 0.8 at entry 1, expected a number within \[0.1, 0.7\]"),
        ({"action": np.array([np.nan, 0.5])}, "action is nan at entry 0"),
        ({"reward": float("inf")}, "reward must be one number that is finite"),
        ({"reward": "high"}, "reward must be a number, got 'high'"),
        ({"reward": np.zeros(2)}, "reward must be one number"),
        ({"terminated": 1}, "terminated must be True or False, got 1"),
        ({"truncated": None}, "truncated must be True or False, got None"),
    ],
)
def test_invalid_transition_is_reported_and_not_stored(
    changes: dict[str, Any], message: str, trained: surefoot.Agent
) -> None:
    before = trained.agent_steps
    with pytest.raises(surefoot.UserError, match=message) as failure:
        trained.observe(**one_transition(**changes))
    assert "\n" not in str(failure.value)
    assert trained.agent_steps == before


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        (np.zeros(7), "obs is ndarray, expected a dict with the keys pose, arm"),
        ({"pose": np.zeros((2, 2))}, "obs has the keys pose, expected pose, arm"),
        ({"pose": np.zeros(4), "arm": 0.0}, r"obs\['pose'\] has shape \(4,\), expected \(2, 2\)"),
    ],
)
def test_invalid_dict_observation_is_reported(obs: Any, message: str) -> None:
    with pytest.raises(surefoot.UserError, match=message):
        agent(observation_space=DICT).act(obs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"observation_space": gymnasium.spaces.Discrete(3)}, "observation space Discrete"),
        (
            {"observation_space": gymnasium.spaces.Box(-1, 1, (0,))},
            "observations of 0 numbers, expected at least one number",
        ),
        ({"action_space": gymnasium.spaces.Discrete(3)}, "action space Discrete"),
        ({"action_space": gymnasium.spaces.Box(-np.inf, np.inf, (2,))}, "finite bounds"),
        ({"algorithm": 3}, "algorithm must be a surefoot.Algorithm such as surefoot.crossq_wn"),
        ({"seed": -1}, "seed must be between 0 and"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"replay_capacity": 20}, "replay_capacity must be more than the warm-up of 20 transitions, got 20"),
        ({"replay_capacity": 2**30}, "GB are free"),
        ({"discount": 1.5}, r"discount must be a number in \[0, 1\], got 1.5"),
        ({"discount": True}, "discount must be a number"),
    ],
)
def test_invalid_setting_is_reported_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(surefoot.UserError, match=message) as failure:
        agent(**settings)
    assert "\n" not in str(failure.value)


def test_update_count_must_be_a_positive_whole_number(trained: surefoot.Agent) -> None:
    for n, message in ((0, "n must be between 1 and"), (2.5, "n must be a whole number")):
        with pytest.raises(surefoot.UserError, match=message):
            trained.update(n)  # type: ignore[arg-type]


def test_discount_precedence_is_argument_algorithm_default() -> None:
    chosen = [
        agent(algorithm=tiny(discount=own), discount=given)._core.setting.discount
        for own, given in ((0.9, 0.8), (0.9, None), (None, None))
    ]
    assert chosen == [0.8, 0.9, 0.99]


def test_divergence_is_reported() -> None:
    made = agent()
    Robot().drive(made, 22)
    core = made._core
    core._state = core._state._replace(
        learner=jax.tree.map(lambda x: x * np.nan if x.dtype == np.float32 else x, core._state.learner)
    )
    for call in (lambda: made.act(np.zeros(3)), lambda: made.act(np.zeros(3), deterministic=True), made.policy):
        with pytest.raises(surefoot.RunFailure, match="learning diverged: after 4 updates the policy is not finite"):
            call()


def test_reprs_are_short_and_readable(trained: surefoot.Agent) -> None:
    assert re.fullmatch(
        r"Agent\(task='own-loop', algorithm='crossq-wn', seed=0, observation=.*3.*, action=\(2,\) float64, "
        r"agent_steps=[\d,]+, grad_steps=[\d,]+\)",
        repr(trained),
    )
    metrics = repr(trained.update())
    assert re.match(r"UpdateMetrics\(critic_loss=[\d.e-]+, q_mean=", metrics)
    assert "Array" not in metrics
    assert len(metrics) < 300
    learner = surefoot.AsyncLearner(trained, publish_every=3)
    assert repr(learner) == f"AsyncLearner({trained!r}, publish_every=3, open=False)"
