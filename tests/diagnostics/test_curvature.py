"""Lanczos against known eigenvalues, and against the full Hessian of a tiny critic."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from surefoot.algorithms import Algorithm
from surefoot.algorithms.presets import sac
from surefoot.algorithms.running_statistics import RunningStatistics
from surefoot.diagnostics import critic_curvature
from surefoot.diagnostics.curvature import lanczos
from surefoot.networks import MLP
from tests.algorithms.support import fixed_batch, fixed_state, learner, tiny

pytestmark = pytest.mark.usefixtures("x64")

EIGENVALUES = np.array([-4.0, -0.5, 0.25, 1.0, 3.0, 9.0])


def symmetric(eigenvalues: np.ndarray) -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(len(eigenvalues), len(eigenvalues))))
    return rotation @ np.diag(eigenvalues) @ rotation.T


def ritz(matrix: np.ndarray, num_steps: int) -> np.ndarray:
    start = np.random.default_rng(1).normal(size=len(matrix))
    return np.asarray(lanczos(lambda vector: jnp.asarray(matrix) @ vector, jnp.asarray(start), num_steps))


def test_full_lanczos_finds_all_eigenvalues() -> None:
    np.testing.assert_allclose(ritz(symmetric(EIGENVALUES), 6), EIGENVALUES, rtol=1e-8)


def test_two_steps_by_hand() -> None:
    """From e_1 on [[2, 1], [1, 3]]: diagonal 2 and 3, off-diagonal 1; eigenvalues (5 +- sqrt 5) / 2."""
    found = lanczos(lambda v: jnp.array([[2.0, 1.0], [1.0, 3.0]]) @ v, jnp.array([7.0, 0.0]), 2)
    np.testing.assert_allclose(found, [(5 - 5**0.5) / 2, (5 + 5**0.5) / 2], rtol=1e-12)
    one = lanczos(lambda v: jnp.array([[2.0, 1.0], [1.0, 3.0]]) @ v, jnp.array([7.0, 0.0]), 1)
    np.testing.assert_allclose(one, [2.0], rtol=1e-12)


def test_few_steps_find_the_extreme_eigenvalues() -> None:
    """An outlier of a hundred other eigenvalues, and with full reorthogonalisation no copies of it."""
    matrix = symmetric(np.concatenate([np.linspace(0.1, 1.0, 100), [50.0]]))
    found = ritz(matrix, 25)
    assert found[-1] == pytest.approx(50.0, rel=1e-10)
    assert found[-2] == pytest.approx(1.0, rel=1e-3)
    assert found[0] == pytest.approx(0.1, rel=0.1)
    assert found[0] >= 0.1 - 1e-12


@pytest.mark.parametrize("values", [[1.0] * 50, [5.0, 3.0, 1.0] + [0.0] * 47])
def test_repeated_eigenvalues_in_float32(values: list[float]) -> None:
    """What the first vector reaches is used up after a few steps; what follows is no rounding error made large."""
    matrix = jnp.asarray(symmetric(np.array(values)), jnp.float32)
    start = jnp.asarray(np.random.default_rng(1).normal(size=50), jnp.float32)
    found = np.asarray(lanczos(lambda vector: matrix @ vector, start, 10))
    assert found[-1] == pytest.approx(max(values), rel=1e-4)
    assert np.abs(found[:, None] - np.array(values)[None]).min(axis=1).max() < 1e-4


# -------------------------------------------------------------------- on a critic

SMALL = tiny(sac()).replace(critic=MLP((2,)), actor=MLP((3,)), num_critics=2)
"""Two critics of 5 x 2 + 2 + 2 + 1 parameters each."""


def hessian_eigenvalues(algorithm: Algorithm, key: jax.Array) -> np.ndarray:
    return np.linalg.eigvalsh(hessian(algorithm, key))


def hessian(algorithm: Algorithm, key: jax.Array) -> np.ndarray:
    functions, state = learner(algorithm), fixed_state(algorithm)
    batch = functions.statistics.preprocess(state, fixed_batch())
    flat, unravel = ravel_pytree(state.critic.params)
    loss_key, _ = jax.random.split(key)
    loss = jax.jit(jax.hessian(lambda p: functions.critic_loss(unravel(p), state, batch, loss_key)[0]))
    matrix = np.asarray(loss(flat))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)
    return matrix


@pytest.mark.slow
@pytest.mark.parametrize("num_steps", [12, 1000])
def test_curvature_equals_the_hessians(num_steps: int) -> None:
    key = jax.random.key(5)
    functions, state = learner(SMALL), fixed_state(SMALL)
    found = jax.jit(critic_curvature, static_argnums=(0, 4))(functions, state, fixed_batch(), key, num_steps)
    largest = np.abs(hessian_eigenvalues(SMALL, key)).max()
    assert float(found.largest_eigenvalue) == pytest.approx(largest, rel=1e-6)
    assert float(found.condition_number) >= 1.0


@pytest.mark.slow
def test_the_condition_number_is_that_of_the_ritz_values() -> None:
    """Three steps from the same first vector, with the whole Hessian in hand."""
    key = jax.random.key(5)
    found = critic_curvature(learner(SMALL), fixed_state(SMALL), fixed_batch(), key, 3)
    matrix = hessian(SMALL, key)
    start = jax.random.normal(jax.random.split(key)[1], (len(matrix),), jnp.float64)
    values = np.abs(lanczos(lambda vector: jnp.asarray(matrix) @ vector, start, 3))
    assert values.min() > 1e-6
    assert float(found.condition_number) == pytest.approx(values.max() / values.min(), rel=1e-6)


def test_rewards_and_observations_are_preprocessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The curvature of a quadratic loss does not depend on the rewards, but that of a cross-entropy does."""
    calls: list[object] = []
    preprocess = RunningStatistics.preprocess
    monkeypatch.setattr(RunningStatistics, "preprocess", lambda *of: calls.append(of) or preprocess(*of))
    critic_curvature(learner(SMALL), fixed_state(SMALL), fixed_batch(), jax.random.key(5), 1)
    assert len(calls) == 1
