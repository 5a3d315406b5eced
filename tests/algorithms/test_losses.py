"""Scalar losses and log-probabilities against values computed by hand."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import SquaredError
from surefoot.algorithms.policy_distribution import sample_with_log_prob

pytestmark = pytest.mark.usefixtures("x64")


def test_scalar_mixture_and_target_by_hand() -> None:
    outputs = jnp.array([[[10.0], [7.0]], [[8.0], [9.0]]])
    values, probabilities = SquaredError().mixture(outputs, jnp.array([[0.0, 0.25], [1.0, 0.75]]))
    np.testing.assert_array_equal(values, [[8.0], [8.5]])
    assert probabilities is None
    target = SquaredError().target(values, probabilities)
    np.testing.assert_array_equal(target, values)
    np.testing.assert_array_equal(SquaredError().target_value(target), target[:, 0])


def test_squared_error_by_hand() -> None:
    outputs, target = jnp.array([[[1.0], [2.0]], [[0.0], [4.0]]]), jnp.array([[2.0], [0.0]])
    # critic 0: mean(1, 4) = 2.5; critic 1: mean(4, 16) = 10; 0.5 (2.5 + 10) = 6.25
    assert float(SquaredError(0.5).loss(outputs, target)) == 6.25
    assert float(SquaredError(2.0).loss(outputs, target)) == 25.0
    np.testing.assert_array_equal(SquaredError().value(outputs), [[1.0, 2.0], [0.0, 4.0]])
    assert SquaredError().num_outputs == 1


def test_zero_noise_log_prob_by_hand() -> None:
    """At u = 0 the tanh's slope is one, so the density is the Gaussian's; at the mean it is 1 / (sigma sqrt(2 pi))."""
    mean, log_std, key = jnp.full((1, 1), 0.3), jnp.full((1, 1), -30.0), jax.random.key(0)
    action, log_prob = sample_with_log_prob(mean, log_std, key)
    noise = float(jax.random.normal(key, (1, 1), jnp.float64)[0, 0])
    np.testing.assert_allclose(action, [[math.tanh(0.3)]], atol=1e-12)
    by_hand = -0.5 * noise**2 + 30.0 - 0.5 * math.log(2 * math.pi) - math.log(1.0 - math.tanh(0.3) ** 2)
    np.testing.assert_allclose(log_prob, [by_hand], rtol=1e-10)


def test_log_prob_is_the_density_of_the_action() -> None:
    """Change of variables, numerically: p(a) = N(u; mean, std) |du/da|, with du/da from a finite difference."""
    rng = np.random.default_rng(0)
    mean, log_std = rng.normal(size=(5, 3)), rng.uniform(-1.5, 0.0, (5, 3))
    action, log_prob = sample_with_log_prob(jnp.asarray(mean), jnp.asarray(log_std), jax.random.key(1))
    a, step = np.asarray(action), 1e-6 * (1.0 - np.abs(np.asarray(action)))
    u, std = np.arctanh(a), np.exp(log_std)
    slope = (np.arctanh(a + step) - np.arctanh(a - step)) / (2.0 * step)
    density = np.exp(-0.5 * ((u - mean) / std) ** 2) / (std * math.sqrt(2.0 * math.pi)) * slope
    np.testing.assert_allclose(log_prob, np.log(density).sum(axis=-1), rtol=1e-6)


@pytest.mark.parametrize("mean", [40.0, -40.0, 300.0])
def test_saturated_log_prob_stays_exact(mean: float) -> None:
    """For large u, tanh(u) rounds to one and log(1 - tanh^2) to -inf; its value is log 4 - 2 |u|."""
    key = jax.random.key(2)
    action, log_prob = sample_with_log_prob(jnp.full((1, 1), mean), jnp.zeros((1, 1)), key)
    noise = float(jax.random.normal(key, (1, 1), jnp.float64)[0, 0])
    u = mean + noise
    by_hand = -0.5 * noise**2 - 0.5 * math.log(2.0 * math.pi) - (math.log(4.0) - 2.0 * abs(u))
    np.testing.assert_allclose(log_prob, [by_hand], rtol=1e-12)
    assert abs(float(action[0, 0])) == 1.0
    gradient = jax.grad(lambda m: sample_with_log_prob(m, jnp.zeros((1, 1)), key)[1].sum())(jnp.full((1, 1), mean))
    np.testing.assert_allclose(gradient, [[2.0 * math.copysign(1.0, mean)]], rtol=1e-12)


def test_actions_depend_on_the_key_and_stay_in_bounds_in_float32() -> None:
    mean, log_std = jnp.zeros((64, 2), jnp.float32), jnp.full((64, 2), 2.0, jnp.float32)
    first, log_prob = sample_with_log_prob(mean, log_std, jax.random.key(0))
    second, _ = sample_with_log_prob(mean, log_std, jax.random.key(1))
    assert first.dtype == log_prob.dtype == jnp.float32
    assert np.isfinite(log_prob).all()
    assert np.abs(first).max() <= 1.0
    assert not np.array_equal(first, second)
