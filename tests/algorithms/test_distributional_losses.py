"""Quantile and categorical critics against values computed by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import CategoricalCrossEntropy, QuantileHuber, SquaredError

pytestmark = pytest.mark.usefixtures("x64")

QUANTILES = QuantileHuber(num_quantiles=2, kappa=1.0)
ATOMS = CategoricalCrossEntropy(num_atoms=3, low=-1.0, high=1.0)

# -------------------------------------------------------------------- quantiles


def test_quantile_loss_by_hand() -> None:
    """Levels 1/4 and 3/4; one critic and one sample: quantiles 0 and 1 against targets 0.5 and 3."""
    loss = QUANTILES.loss(jnp.array([[[0.0, 1.0]]]), jnp.array([[0.5, 3.0]]))
    # Quantile 0, level 1/4: errors 0.5 and 3, both above: 1/4 (0.125) and 1/4 (2.5).
    # Quantile 1, level 3/4: errors -0.5, below: |3/4 - 1| 0.125; and 2, above: 3/4 (1.5).
    by_hand = (0.25 * 0.125 + 0.25 * 2.5) / 2 + (0.25 * 0.125 + 0.75 * 1.5) / 2
    assert float(loss) == pytest.approx(by_hand, rel=1e-14)


def test_quantile_loss_sums_over_critics_and_averages_over_the_batch() -> None:
    rng = np.random.default_rng(0)
    outputs, target = jnp.asarray(rng.normal(size=(3, 4, 2))), jnp.asarray(rng.normal(size=(4, 2)))
    single = [
        [float(QUANTILES.loss(outputs[c : c + 1, b : b + 1], target[b : b + 1])) for b in range(4)] for c in range(3)
    ]
    assert float(QUANTILES.loss(outputs, target)) == pytest.approx(np.mean(single, axis=1).sum(), rel=1e-12)


def test_quantile_loss_is_linear_beyond_kappa() -> None:
    outputs, target = jnp.zeros((1, 1, 1)), jnp.full((1, 1), 3.0)
    # Level 1/2. kappa 1: 1 (3 - 0.5); kappa 2: 2 (3 - 1) / 2; kappa 4: 9 / 2 / 4.
    for kappa, huber in ((1.0, 2.5), (2.0, 2.0), (4.0, 1.125)):
        assert float(QuantileHuber(1, kappa).loss(outputs, target)) == pytest.approx(0.5 * huber, rel=1e-14)


def test_quantile_loss_is_minimal_at_the_target_quantiles() -> None:
    """The loss is least at the quantiles: for 1, 2, ..., 4 at levels 1/4 and 3/4, and a tiny kappa."""
    part, target = QuantileHuber(2, kappa=1e-6), jnp.broadcast_to(jnp.array([0.0, 1.0]), (1, 2))
    at = {q: float(part.loss(jnp.full((1, 1, 2), q), target)) for q in (-0.5, 0.0, 0.5, 1.0, 1.5)}
    assert at[-0.5] > at[0.0]
    assert at[1.5] > at[1.0]
    assert float(part.loss(jnp.array([[[0.0, 1.0]]]), target)) < min(at.values())


@pytest.mark.parametrize("num_quantiles", [3, 24])
def test_quantile_loss_and_gradient_are_those_of_all_pairs(num_quantiles: int) -> None:
    """Also where the loop over the target's quantiles has a remainder, and for several seeds at once."""
    part = QuantileHuber(num_quantiles, kappa=0.7)
    levels = (jnp.arange(num_quantiles) + 0.5) / num_quantiles

    def of_pairs(outputs: jax.Array, target: jax.Array) -> jax.Array:
        error = target[None, :, None, :] - outputs[..., None]
        size = jnp.abs(error)
        huber = jnp.where(size <= 0.7, 0.5 * error**2, 0.7 * (size - 0.35))
        weight = jnp.abs(levels[None, None, :, None] - (error < 0.0))
        return jnp.sum(jnp.mean(jnp.sum(weight * huber / 0.7, axis=2), axis=(1, 2)))

    rng = np.random.default_rng(1)
    outputs, target = jnp.asarray(rng.normal(size=(2, 3, 4, num_quantiles))), jnp.asarray(rng.normal(size=(2, 4, 24)))
    for function in (part.loss, jax.grad(part.loss)):
        expected = of_pairs if function == part.loss else jax.grad(of_pairs)
        np.testing.assert_allclose(jax.vmap(function)(outputs, target), jax.vmap(expected)(outputs, target), rtol=1e-12)


def test_quantile_mixture_target_and_value() -> None:
    outputs = jnp.array([[[2.0, 4.0], [8.0, 9.0]], [[6.0, 6.0], [0.0, 1.0]]])  # two critics, two samples
    values, probabilities = QUANTILES.mixture(outputs, jnp.array([[0.5, 1.0], [0.5, 0.0]]))
    np.testing.assert_array_equal(values, [[4.0, 5.0], [8.0, 9.0]])
    target = QUANTILES.target(values, probabilities)
    np.testing.assert_array_equal(target, values)
    np.testing.assert_allclose(QUANTILES.target_value(target), [4.5, 8.5], rtol=1e-14)
    np.testing.assert_allclose(QUANTILES.value(jnp.array([[[1.0, 5.0]]])), [[3.0]], rtol=1e-14)
    assert QUANTILES.num_outputs == 2


# -------------------------------------------------------------------- a distribution over atoms


def project(probabilities: list[float], shift: float, scale: float) -> np.ndarray:
    """Return the projection of the distribution whose atoms are moved to shift + scale x atom."""
    return np.asarray(ATOMS.target(shift + scale * ATOMS.atoms[None], jnp.array([probabilities])))[0]


def test_projection_by_hand() -> None:
    # Atoms -1, 0, 1 move to 0.25 + 0.5 (-1, 0, 1) = -0.25, 0.25, 0.75.
    # -0.25 gives 1/4 to -1 and 3/4 to 0; 0.25 gives 3/4 to 0 and 1/4 to 1; 0.75 gives 1/4 to 0 and 3/4 to 1.
    expected = [0.2 * 0.25, 0.2 * 0.75 + 0.3 * 0.75 + 0.5 * 0.25, 0.3 * 0.25 + 0.5 * 0.75]
    np.testing.assert_allclose(project([0.2, 0.3, 0.5], 0.25, 0.5), expected, rtol=1e-14)


def test_projection_onto_matching_atoms_is_the_identity() -> None:
    np.testing.assert_allclose(project([0.2, 0.3, 0.5], 0.0, 1.0), [0.2, 0.3, 0.5], atol=1e-15)
    np.testing.assert_allclose(project([0.2, 0.3, 0.5], 0.0, 0.0), [0.0, 1.0, 0.0], atol=1e-15)


@pytest.mark.parametrize(("reward", "expected"), [(50.0, [0.0, 0.0, 1.0]), (-50.0, [1.0, 0.0, 0.0])])
def test_projection_clips_to_the_support(reward: float, expected: list[float]) -> None:
    np.testing.assert_allclose(project([0.2, 0.3, 0.5], reward, 0.9), expected, atol=1e-15)
    # Partly outside the support: 0.5 + (-1, 0, 1) = -0.5, 0.5, 1.5.
    half = project([0.2, 0.3, 0.5], 0.5, 1.0)
    np.testing.assert_allclose(half, [0.1, 0.1 + 0.15, 0.15 + 0.5], atol=1e-15)


def test_projection_preserves_mass_and_mean() -> None:
    part, rng = CategoricalCrossEntropy(11, -5.0, 5.0), np.random.default_rng(1)
    p = rng.dirichlet(np.ones(11), size=64)
    values = rng.uniform(-0.5, 0.5, (64, 1)) + rng.uniform(0.0, 0.8, (64, 1)) * np.linspace(-5.0, 5.0, 11)[None]
    target = np.asarray(part.target(jnp.asarray(values), jnp.asarray(p)))
    np.testing.assert_allclose(target.sum(axis=1), 1.0, rtol=1e-12)
    assert (target >= 0.0).all()
    mean = (p * values).sum(axis=1)
    np.testing.assert_allclose(part.target_value(jnp.asarray(target)), mean, rtol=1e-10, atol=1e-12)
    outside = part.target(jnp.asarray(values + 100.0), jnp.asarray(p))
    np.testing.assert_allclose(np.asarray(outside).sum(axis=1), 1.0, rtol=1e-12)


def test_cross_entropy_by_hand() -> None:
    """Two critics, two samples; logits are logarithms of probabilities."""
    q = np.array([[[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], [[0.4, 0.4, 0.2], [0.3, 0.3, 0.4]]])
    p = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    by_hand = -(p[None] * np.log(q)).sum(axis=-1).mean(axis=-1).sum()
    logits = jnp.asarray(np.log(q) + 7.0)  # a constant added to all logits changes nothing
    assert float(ATOMS.loss(logits, jnp.asarray(p))) == pytest.approx(by_hand, rel=1e-12)
    atoms, mixed = ATOMS.mixture(logits, jnp.array([[0.25, 1.0], [0.75, 0.0]]))
    np.testing.assert_array_equal(atoms, [[-1.0, 0.0, 1.0]])
    np.testing.assert_allclose(mixed, [0.25 * q[0, 0] + 0.75 * q[1, 0], q[0, 1]], rtol=1e-12)
    np.testing.assert_allclose(ATOMS.value(logits), q[..., 2] - q[..., 0], rtol=1e-10)
    assert ATOMS.num_outputs == 3


def test_cross_entropy_averaged_over_critics_is_its_share_of_the_sum() -> None:
    rng = np.random.default_rng(0)
    outputs, target = jnp.asarray(rng.normal(size=(3, 4, 3))), jnp.full((4, 3), 1 / 3)
    averaged = CategoricalCrossEntropy(3, -1.0, 1.0, over_critics="mean")
    np.testing.assert_allclose(averaged.loss(outputs, target), ATOMS.loss(outputs, target) / 3, rtol=1e-12)


def test_cross_entropy_gradient_by_hand() -> None:
    rng = np.random.default_rng(2)
    logits, p = rng.normal(size=(2, 4, 3)), rng.dirichlet(np.ones(3), size=4)
    gradient = jax.grad(ATOMS.loss)(jnp.asarray(logits), jnp.asarray(p))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(gradient, (softmax - p[None]) / 4, rtol=1e-9, atol=1e-12)


# -------------------------------------------------------------------- disagreement


def test_disagreement_is_the_mean_distance_from_the_mean() -> None:
    scalars = jnp.array([[[1.0], [0.0]], [[4.0], [0.0]]])
    np.testing.assert_allclose(SquaredError().disagreement(scalars), [1.5, 0.0], rtol=1e-14)
    three = jnp.array([[[0.0]], [[3.0]], [[6.0]]])
    np.testing.assert_allclose(SquaredError().disagreement(three), [2.0], rtol=1e-14)


def test_disagreement_of_quantiles_is_taken_quantile_by_quantile() -> None:
    """Same means, other shapes: 0 and 4 against 2 and 2 are 1 apart from their mean at both quantiles."""
    np.testing.assert_allclose(QUANTILES.disagreement(jnp.array([[[0.0, 4.0]], [[2.0, 2.0]]])), [1.0], rtol=1e-14)


def test_disagreement_of_distributions_is_that_of_their_values() -> None:
    logits = jnp.log(jnp.array([[[0.2, 0.3, 0.5]], [[0.4, 0.4, 0.2]]]))
    np.testing.assert_allclose(ATOMS.disagreement(logits), [0.25], rtol=1e-10)  # values 0.3 and -0.2
