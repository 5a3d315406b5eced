"""Actions of deterministic and stochastic policies."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import DeterministicPolicy, TanhGaussian
from surefoot.algorithms.policy_distribution import sample_with_log_prob
from tests.algorithms.support import fixed_batch, fixed_state, learner, tiny_preset

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)
POLICY = DeterministicPolicy(exploration_noise=0.1, target_noise=0.2, target_noise_bound=0.25)
RAW = np.random.default_rng(0).normal(size=(4000, 2))
MEAN = np.tanh(RAW)


@pytest.fixture(scope="module")
def raw(x64: None) -> jax.Array:
    return jnp.asarray(RAW)


@pytest.fixture(scope="module")
def noise(x64: None) -> np.ndarray:
    return np.asarray(jax.random.normal(KEY, RAW.shape, jnp.float64))


def test_deterministic_exploration_noise_is_unclipped_within_action_bounds(raw: jax.Array, noise: np.ndarray) -> None:
    action = np.asarray(POLICY.explore(raw, KEY))
    np.testing.assert_allclose(action, np.clip(MEAN + 0.1 * noise, -1.0, 1.0), rtol=1e-12)
    assert np.abs(action).max() == 1.0
    inside = np.abs(MEAN) < 0.3
    assert (action - MEAN)[inside].std() == pytest.approx(0.1, rel=0.05)
    assert np.abs(action - MEAN)[inside].max() > 0.25


def test_target_noise_and_actions_are_clipped(raw: jax.Array, noise: np.ndarray) -> None:
    action, log_prob = POLICY.next_action(raw, KEY)
    by_hand = np.clip(MEAN + np.clip(0.2 * noise, -0.25, 0.25), -1.0, 1.0)
    np.testing.assert_allclose(action, by_hand, rtol=1e-12)
    assert np.abs(np.asarray(action) - MEAN).max() == pytest.approx(0.25)
    assert np.abs(action).max() == 1.0
    np.testing.assert_array_equal(log_prob, np.zeros(4000))


def test_deterministic_policy_loss_and_evaluation_have_no_noise(raw: jax.Array) -> None:
    action, log_prob = POLICY.policy_action(raw, KEY)
    np.testing.assert_allclose(action, MEAN, rtol=1e-12)
    np.testing.assert_array_equal(log_prob, np.zeros(4000))
    np.testing.assert_allclose(POLICY.mean(raw), MEAN, rtol=1e-12)
    gradient = jax.grad(lambda raw: POLICY.policy_action(raw, KEY)[0].sum())(raw)
    np.testing.assert_allclose(gradient, 1.0 - MEAN**2, rtol=1e-9)


def test_without_noise_all_actions_are_the_mean(raw: jax.Array) -> None:
    still = DeterministicPolicy(0.0, 0.0, 0.0)
    np.testing.assert_allclose(still.explore(raw, KEY), MEAN, rtol=1e-12)
    np.testing.assert_allclose(still.next_action(raw, KEY)[0], MEAN, rtol=1e-12)


def test_gaussian_policy_samples_equally_for_all_purposes(raw: jax.Array) -> None:
    outputs = (raw, jnp.full_like(raw, -1.0))
    action, log_prob = sample_with_log_prob(*outputs, KEY)
    policy = TanhGaussian()
    np.testing.assert_array_equal(policy.explore(outputs, KEY), action)
    for drawn in (policy.next_action(outputs, KEY), policy.policy_action(outputs, KEY)):
        np.testing.assert_array_equal(drawn[0], action)
        np.testing.assert_array_equal(drawn[1], log_prob)
    np.testing.assert_allclose(policy.mean(outputs), MEAN, rtol=1e-12)


def test_td3_learner_has_neither_entropy_nor_temperature() -> None:
    algorithm = tiny_preset("td3-wn")
    functions, state, batch = learner(algorithm), fixed_state(algorithm), fixed_batch()
    assert state.log_alpha is None
    assert state.temperature_opt_state is None
    loss, (_, entropy) = functions.actor_loss(state.actor.params, state, batch, KEY)
    action = jnp.tanh(functions.actor.train(state.actor.params, state.actor.batch_stats, batch.observation, key=KEY)[0])
    q = functions.critic.evaluate(state.critic, batch.observation, action)
    assert float(entropy) == 0.0
    assert float(loss) == pytest.approx(-float(q[0].mean()), rel=1e-10), "only the first critic"
