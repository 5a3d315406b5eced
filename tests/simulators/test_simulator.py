"""Environments written in JAX: time limits, ends, next episodes, and their vectors."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.simulators.environments import BraxEnv
from surefoot.tasks import VectorEnv, get_task, make_vector, with_engine
from surefoot.tasks.task import Task
from tests.simulators.pendulum import Pendulum, State


def pendulum(repeat: int = 1, **settings: Any) -> Task:
    task = with_engine(get_task(functools.partial(Pendulum, **settings)), "jax")
    return dataclasses.replace(task, action_repeat=repeat)


def vector(task: Task, stream: str = "train", autoreset: bool = True) -> VectorEnv:
    return make_vector(task, [5, 5, 6, 6], stream, autoreset=autoreset, environments=[0, 1, 0, 1])


def actions(steps: int, slots: int = 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.0, 1.0, (steps, slots, 1)).astype(np.float32)


def test_pendulum_is_gymnasiums() -> None:
    """The same angles, rewards and observations from a state set alike, so a known return is a meaningful one."""
    reference: Any = gymnasium.make("Pendulum-v1").unwrapped
    reference.reset(seed=0)
    env, state = Pendulum(), Pendulum().reset(jax.random.key(0))
    reference.state = np.array([state.angle, state.speed], np.float64)
    for action in actions(50, 1)[:, 0]:
        observation, reward, *_ = reference.step(2.0 * action)
        state = env.step(state, action)
        np.testing.assert_allclose(state.obs, observation, atol=2e-3)
        np.testing.assert_allclose(state.reward, reward, atol=2e-2)


def test_time_limit_truncates_with_the_final_observation_and_the_next_episode_starts() -> None:
    with vector(pendulum(episode_length=7)) as env:
        firsts = [env.reset([episode] * 4) for episode in range(4)]
        assert len(np.unique(np.concatenate(firsts), axis=0)) == 16, "every slot and episode starts elsewhere"
        before = env.reset([0] * 4)
        np.testing.assert_array_equal(before, firsts[0])
        for number, action in enumerate(actions(21)):
            if number % 7 == 0:
                state = jax.tree.map(lambda leaf: leaf[2], env.state.env)
            step = env.step(action)
            state = Pendulum().step(state, action[2])
            np.testing.assert_allclose(step.next_observation[2], state.obs, atol=1e-5)
            np.testing.assert_allclose(step.reward[2], state.reward, atol=1e-5)
            np.testing.assert_array_equal(step.truncated, (number + 1) % 7 == 0)
            assert not step.terminated.any()
            expected = firsts[(number + 1) // 7] if step.truncated.any() else step.next_observation
            np.testing.assert_array_equal(step.observation, expected)
        assert env.episodes.tolist() == [3] * 4
        assert step.reports_success.all()


def test_terminal_state_is_no_time_limit() -> None:
    with vector(pendulum(episode_length=40, top_speed=3.0)) as env:
        env.reset([0] * 4)
        seen = [env.step(action) for action in actions(120)]
    terminated, truncated = (np.array([getattr(step, name) for step in seen]) for name in ("terminated", "truncated"))
    assert terminated.any()
    assert not (terminated & truncated).any()
    fast = np.array([np.abs(step.next_observation[:, 2]) > 3.0 for step in seen])
    np.testing.assert_array_equal(terminated, fast)


def test_repeated_action_stops_at_the_end_of_the_episode() -> None:
    with vector(pendulum(repeat=5, episode_length=12), autoreset=False) as env:
        before = env.reset([0] * 4)
        steps = [env.step(np.full((4, 1), 0.3, np.float32)) for _ in range(4)]
        assert [step.env_steps.tolist() for step in steps] == [[5] * 4, [5] * 4, [2] * 4, [0] * 4]
        assert [step.active.tolist() for step in steps[2:]] == [[True] * 4, [False] * 4]
        np.testing.assert_array_equal(steps[3].next_observation, steps[2].next_observation)
        assert not steps[3].reward.any()
        assert not steps[3].ended.any()
    with vector(pendulum(episode_length=12), autoreset=False) as env:
        np.testing.assert_array_equal(env.reset([0] * 4), before)
        each = [env.step(np.full((4, 1), 0.3, np.float32)) for _ in range(12)]
        np.testing.assert_allclose(sum(step.reward for step in each[:5]), steps[0].reward, rtol=1e-5)
        np.testing.assert_allclose(each[-1].next_observation, steps[2].next_observation, rtol=1e-5)


def test_replaying_actions_restores_the_slots() -> None:
    taken = actions(6)
    with vector(pendulum()) as env:
        env.reset([2, 0, 0, 1])
        for action in taken:
            step = env.step(action)
        lengths = [6, 4, 0, 6]
        restored = env.restore([2, 0, 0, 1], [taken[:length, slot] for slot, length in enumerate(lengths)])
        np.testing.assert_array_equal(restored[[0, 3]], step.observation[[0, 3]])
        np.testing.assert_array_equal(restored[2], env.reset([2, 0, 0, 1])[2])
        assert env.episodes.tolist() == [2, 0, 0, 1]


def test_terminal_state_within_a_repeated_action_is_kept() -> None:
    with vector(pendulum(repeat=4, top_speed=0.7), autoreset=False) as env:
        env.reset([0] * 4)
        steps = [env.step(np.ones((4, 1), np.float32)) for _ in range(40)]
        last = env.state.env
    taken = np.sum([step.env_steps for step in steps], axis=0)
    ended = np.array([step.terminated for step in steps])
    assert ended.sum(axis=0).tolist() == [1] * 4, "each reaches the speed"
    assert (np.abs(np.asarray(last.speed)) > 0.7).all()
    np.testing.assert_array_equal(last.info["steps"], taken)
    assert (taken % 4 != 0).any(), "some end within a decision"


def test_numbers_that_are_not_finite_end_an_episode_where_the_environment_says_so() -> None:
    """As MuJoCo Playground's do: the critic learns from what there was before."""

    class Bursting(Pendulum):
        def step(self, state: State, action: jax.Array) -> State:
            stepped = super().step(state, action)
            over = action[0] > 0.9
            obs, reward = (jnp.where(over, jnp.nan, value) for value in (stepped.obs, stepped.reward))
            return stepped._replace(obs=obs, reward=reward, done=over)

    with vector(with_engine(get_task(Bursting), "jax")) as env:
        before = env.reset([0] * 4)
        step = env.step(np.array([[0.0], [0.0], [0.0], [1.0]], np.float32))
        assert step.terminated.tolist() == [False, False, False, True]
        np.testing.assert_array_equal(step.next_observation[3], before[3])
        assert step.reward[3] == 0.0
        assert (step.reward[:3] < 0.0).all()
        assert env.episodes.tolist() == [0, 0, 0, 1]


def test_keys_of_a_dict_are_flattened_in_order() -> None:
    with vector(pendulum(keys=True)) as env:
        assert env.spaces.observation_keys == ("privileged_state", "state")
        observation = env.reset([0] * 4)
        assert observation.shape == (4, 5)
        np.testing.assert_array_equal(observation[:, :2], observation[:, 3:])


def test_single_environment_takes_the_same_steps() -> None:
    env = pendulum(episode_length=5).make()
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=3)
    np.testing.assert_array_equal(first, again)
    steps = [env.step(np.array([0.5], np.float32)) for _ in range(5)]
    assert [step[3] for step in steps] == [False] * 4 + [True]
    assert all(isinstance(step[4]["success"], bool) for step in steps)


def test_environment_without_a_hash_is_accepted() -> None:
    class ComparedByValue(Pendulum):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, ComparedByValue)

    with vector(with_engine(get_task(ComparedByValue), "jax")) as env:
        assert env.reset([0] * 4).shape == (4, 3)


def test_types_hold_first_and_later_states() -> None:
    """The reward of ``reset`` is a whole number, and here observations are bytes at first."""

    class Bytes(Pendulum):
        def reset(self, key: jax.Array) -> State:
            first = super().reset(key)
            return first._replace(obs=jnp.zeros(3, jnp.uint8))

    with vector(with_engine(get_task(Bytes), "jax")) as env:
        assert env.spaces.stored_dtype == "float32"
        assert not env.reset([0] * 4).any()
        step = env.step(np.zeros((4, 1), np.float32))
        assert (step.reward % 1.0 != 0.0).all()
        assert (step.next_observation[:, :2] % 1.0 != 0.0).all()


def test_non_finite_numbers_name_seed_and_environment() -> None:
    class Breaking(Pendulum):
        def step(self, state: State, action: jax.Array) -> State:
            stepped = super().step(state, action)
            return stepped._replace(reward=jnp.where(action[0] > 0.9, jnp.nan, stepped.reward))

    with vector(with_engine(get_task(Breaking), "jax")) as env:
        env.reset([0] * 4)
        env.step(np.zeros((4, 1), np.float32))
        with pytest.raises(EnvironmentFailure, match=r"seed 6, environment 1.*non-finite reward"):
            env.step(np.array([[0.0], [0.0], [0.0], [1.0]], np.float32))


class Unlike(Pendulum):
    """Pendulum with one part replaced."""

    def __init__(self, **parts: Any) -> None:
        super().__init__()
        vars(self).update(parts)


def _wrapped(key: jax.Array) -> State:
    first = Pendulum().reset(key)
    return first._replace(info={**first.info, "truncation": jnp.float32(0.0)})


def _standing(state: State, action: jax.Array) -> State:
    return state


def _raising(*_: Any) -> State:
    raise ValueError("no such\nstate")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: object(), "object has no reset, expected reset"),
        (lambda: Unlike(action_size=0), "has the action_size 0, expected a whole number of at least 1"),
        (lambda: Unlike(reset=lambda key: key), "without obs"),
        (lambda: Unlike(reset=_raising), "its reset cannot be compiled: ValueError"),
        (lambda: Unlike(step=_raising), "its step cannot be compiled: ValueError"),
        (lambda: Unlike(step=lambda state, action: state.obs), "step returns a state with other entries"),
        (lambda: Unlike(episode_length=0.5), "episode_length 0.5, expected a whole number"),
        (
            lambda: Unlike(reset=lambda key: Pendulum().reset(key)._replace(reward=jnp.zeros(3))),
            r"reward of shape \(3,\), expected one number",
        ),
        (
            lambda: Unlike(step=lambda state, action: state._replace(obs=jnp.zeros(4))),
            r"obs has the shape \(4,\) after a step, expected \(3,\) as after reset",
        ),
        (
            lambda: Unlike(reset=lambda key: Pendulum().reset(key)._replace(obs=(jnp.zeros(3),))),
            "observations of type tuple, expected an array or a dict of arrays",
        ),
        (
            lambda: Unlike(step=lambda state, action: state._replace(info={**state.info, "new": state.reward})),
            r"other entries than reset does: info\['new'\] is in one of them only",
        ),
        (
            lambda: Unlike(reset=lambda key: Pendulum().reset(key)._replace(angle=jnp.bfloat16(0.0)), step=_standing),
            "angle is bfloat16, expected floats of 16 or 32 bits, integers or flags",
        ),
        (lambda: Unlike(reset=_wrapped), r"info\['truncation'\] of a wrapper .* expected the environment without it"),
    ],
)
def test_wrong_interface_is_an_error_in_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        BraxEnv(make(), "mine")
    assert "\n" not in str(caught.value)


def test_engine_is_for_environments_written_in_jax() -> None:
    with pytest.raises(UserError, match="engine jax: 'cheetah-run' is not written in JAX"):
        with_engine(get_task("cheetah-run"), "jax")
    with pytest.raises(UserError, match="not one of the 23 tasks"):
        with_engine(pendulum(), "envpool")
    with pytest.raises(
        UserError, match="returned Pendulum; an environment written in JAX is trained with --engine jax"
    ):
        get_task(Pendulum).make()
