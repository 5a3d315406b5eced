"""Running statistics against NumPy, and their use in the learner."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import Learner, LearnerState, statistics
from surefoot.algorithms.statistics import Moments
from surefoot.types import Transition
from tests.algorithms.support import DISCOUNT, SPEC, fixed_batch, fixed_state, learner, same_bits, tiny_preset

pytestmark = pytest.mark.usefixtures("x64")


def stream(values: np.ndarray) -> Moments:
    moments = statistics.init_moments(values.shape[1:])
    see = jax.jit(statistics.update_moments)
    for value in values:
        moments = see(moments, jnp.asarray(value))
    return moments


def test_moments_match_numpy() -> None:
    values = 5.0 + 3.0 * np.random.default_rng(0).normal(size=(50, 3))
    moments = stream(values)
    # The initial values have a weight of 1e-4.
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(moments.variance, values.var(axis=0), rtol=1e-3)
    assert float(moments.weight) == pytest.approx(50.0001)


def test_moments_are_exactly_those_of_a_weighted_start_and_the_stream() -> None:
    """The initial moments count as 1e-4 values of mean 0 and variance 1."""
    values = np.array([2.0, -1.0, 4.0])
    weight = 1e-4 + 3.0
    mean = values.sum() / weight
    variance = (1e-4 * (1.0 + mean**2) + ((values - mean) ** 2).sum()) / weight
    moments = stream(values)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-6)  # the start's weight is a float32
    np.testing.assert_allclose(moments.variance, variance, rtol=1e-6)


@pytest.mark.parametrize("inflation", [0.0, 0.25])
def test_moments_of_several_values_at_once_equal_those_of_one_after_the_other(inflation: float) -> None:
    values = jnp.asarray(3.0 + np.random.default_rng(1).normal(size=(6, 5, 2)))
    together = apart = statistics.init_moments((2,))
    for group in values:
        together = statistics.update_moments(together, group, inflation)
        count, before = apart.weight + 5.0, apart
        for value in group:
            apart = statistics.update_moments(apart, value)
        # Once for all of them, as in a batch.
        apart = apart._replace(variance=apart.variance + inflation * before.variance / count)
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_normalisation_by_hand() -> None:
    zeros = jnp.zeros(2)
    moments = Moments(jnp.array([1.0, -2.0]), jnp.array([3.0, 15.0]), jnp.array(7.0), zeros, zeros)
    values = jnp.array([[5.0, 2.0], [1.0, -6.0]])
    np.testing.assert_allclose(statistics.normalize(moments, values, 1.0), [[2.0, 1.0], [0.0, -1.0]], rtol=1e-14)


def test_float32_moments_keep_their_digits_far_from_zero() -> None:
    """At a mean of a thousand deviations, plain float32 sums have an error of one deviation after this many values."""
    values = (1000.0 + np.random.default_rng(0).normal(size=(300_000, 2))).astype(np.float32)
    with jax.enable_x64(False):
        moments, _ = jax.lax.scan(
            lambda moments, value: (statistics.update_moments(moments, value), None),
            statistics.init_moments((2,)),
            jnp.asarray(values),
        )
        normalized = statistics.normalize(moments, jnp.asarray(values[:100]), 1e-8)
    assert moments.mean.dtype == jnp.float32
    exact = values.astype(np.float64)
    mean = np.asarray(moments.mean, np.float64) + np.asarray(moments.mean_error, np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), atol=1e-3)  # the initial weight contributes 3e-7
    np.testing.assert_allclose(moments.variance, exact.var(axis=0), rtol=2e-3)
    np.testing.assert_allclose(normalized, (exact[:100] - exact.mean(axis=0)) / exact.std(axis=0), atol=5e-3)


def test_running_return_restarts_at_episode_end() -> None:
    """G = 0.5 (1 - ended) G + r. The last transition of an episode resets the sum to its own reward."""
    returns, running = statistics.init_return_moments(bounded=False), []
    for reward, ended in [(1.0, False), (2.0, False), (4.0, True), (8.0, False)]:
        returns = statistics.update_return_moments(returns, jnp.array(reward), jnp.array(ended), 0.5)
        running.append(float(returns.running_return))
    assert running == [1.0, 2.5, 4.0, 10.0]
    np.testing.assert_allclose(returns.moments.variance, np.var(running), rtol=1e-14)


def test_rewards_are_divided_by_the_deviation_and_not_shifted() -> None:
    returns = statistics.init_return_moments(bounded=False)._replace(
        moments=Moments(jnp.array(100.0), jnp.array(4.0), jnp.array(5.0), jnp.array(0.0), jnp.array(0.0))
    )
    np.testing.assert_allclose(statistics.scale_reward(returns, jnp.array([3.0, -6.0]), 1.0), [1.0, -2.0], rtol=1e-14)


def test_bounded_scaling_by_hand() -> None:
    """The divisor is the larger of the deviation and the largest |G| by the bound; a later deviation can exceed it."""
    returns, divisors, seen = statistics.init_return_moments(bounded=True), [], []
    for reward, ended in [(-4.0, False), (1.0, True), (3.0, False), (-9.0, True), (9.0, False)]:
        returns = statistics.update_return_moments(returns, jnp.array(reward), jnp.array(ended), 0.5)
        seen.append(float(returns.running_return))
        divisors.append(1.0 / float(statistics.scale_reward_bounded(returns, jnp.array(1.0), 2.0, 1e-8)))
    assert seen == [-4.0, 1.0, 3.5, -9.0, 4.5]
    largest = [4.0, 4.0, 4.0, 9.0, 9.0]
    by_hand = [max(np.std(seen[: i + 1]), largest[i] / 2.0) for i in range(5)]
    assert by_hand[4] == np.std(seen)
    np.testing.assert_allclose(divisors, by_hand, rtol=2e-4)  # the variance is inflated by 1e-4 / n in each update
    assert divisors[4] > by_hand[4]


# -------------------------------------------------------------------- in the learner


def transition(reward: float, ended: bool, observation: float) -> Transition:
    filled = jnp.full(SPEC.observation_size, observation)
    action = jnp.zeros(SPEC.action_size)
    return Transition(action, jnp.array(reward), filled + 1.0, jnp.bool_(False), filled, jnp.bool_(ended))


def test_observation_statistics_change_with_acting_only() -> None:
    functions, state = learner(tiny_preset("simba")), fixed_state(tiny_preset("simba"))
    assert state.observations is not None
    updated = functions.statistics.update(state, transition(1.0, ended=False, observation=9.0))
    # The statistics include the observation to act on, not the next observation of the last transition.
    expected = statistics.update_moments(state.observations, jnp.full(SPEC.observation_size, 9.0))
    assert same_bits(updated.observations, expected)
    assert same_bits(updated._replace(observations=state.observations), state)
    assert same_bits(
        functions.statistics.update_observations(state, jnp.full(SPEC.observation_size, 9.0)).observations, expected
    )


def test_networks_receive_normalised_observations() -> None:
    functions, state = learner(tiny_preset("simba")), fixed_state(tiny_preset("simba"))
    batch = fixed_batch()
    moments = state.observations
    assert moments is not None
    epsilon = 1e-8

    def by_hand(values: jax.Array) -> np.ndarray:
        mean = np.asarray(moments.mean) + np.asarray(moments.mean_error)
        return (np.asarray(values) - mean) / np.sqrt(np.asarray(moments.variance) + epsilon)

    ready = functions.statistics.preprocess(state, batch)
    np.testing.assert_allclose(ready.observation, by_hand(batch.observation), rtol=1e-12)
    np.testing.assert_allclose(ready.next_observation, by_hand(batch.next_observation), rtol=1e-12)
    assert same_bits((ready.reward, ready.action), (batch.reward, batch.action))
    plain = functions.actor.evaluate(state.actor, jnp.asarray(by_hand(batch.observation)))[0]
    np.testing.assert_allclose(functions.act_deterministic(state, batch.observation), np.tanh(plain), rtol=1e-10)


def test_rewards_are_scaled_as_they_are_sampled() -> None:
    functions, state = learner(tiny_preset("xqc")), fixed_state(tiny_preset("xqc"))
    assert state.returns is not None
    batch = fixed_batch()
    ready = functions.statistics.preprocess(state, batch)
    deviation = np.sqrt(float(state.returns.moments.variance)) + 1e-8
    np.testing.assert_allclose(ready.reward, np.asarray(batch.reward) / deviation, rtol=1e-12)
    assert same_bits(ready._replace(reward=batch.reward), batch)


def test_running_return_uses_the_learners_discount() -> None:
    functions: Learner = learner(tiny_preset("xqc"))
    state: LearnerState = fixed_state(tiny_preset("xqc"))._replace(
        returns=statistics.init_return_moments(bounded=False)
    )
    for reward, ended in ((1.0, False), (2.0, False), (5.0, True), (1.0, False)):
        state = functions.statistics.update(state, transition(reward, ended, 0.0))
    assert state.returns is not None
    assert float(state.returns.running_return) == pytest.approx(DISCOUNT * 5.0 + 1.0)
    assert float(state.returns.moments.weight) == 4.0


def test_rewards_are_scaled_with_the_bound() -> None:
    functions, state = learner(tiny_preset("flashsac")), fixed_state(tiny_preset("flashsac"))
    assert state.returns is not None
    reward = fixed_batch().reward
    for largest, divisor in ((0.1, np.sqrt(float(state.returns.moments.variance) + 1e-8)), (50.0, 10.0)):
        bounded = state._replace(returns=state.returns._replace(largest=jnp.array(largest)))
        np.testing.assert_allclose(
            functions.statistics.preprocess(bounded, fixed_batch()).reward, reward / divisor, rtol=1e-12
        )
    updated = functions.statistics.update_returns(state, jnp.array(30.0), jnp.bool_(True))
    assert updated.returns is not None
    assert float(updated.returns.largest) == 30.0
