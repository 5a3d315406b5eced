"""Batch normalisation against Flax, the other normalisations by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from surefoot.networks import BatchNorm, BatchRenorm, LayerNorm, RMSNorm
from surefoot.networks.normalization import norm_module, uses_batch_statistics

pytestmark = pytest.mark.usefixtures("x64")

X = np.array([[1.0, 4.0], [3.0, 0.0], [5.0, 2.0], [-1.0, 2.0]])
MEAN, VARIANCE = np.array([2.0, 2.0]), np.array([5.0, 2.0])  # of X, biased
SCALE, BIAS = np.array([2.0, 0.5]), np.array([1.0, -1.0])
RENORM = BatchRenorm(momentum=0.9, epsilon=0.1, max_scale=1.5, max_shift=0.25, warmup_updates=3)


def variables(passes: int | None, mean: list[float], variance: list[float]) -> dict[str, Any]:
    statistics = {"mean": jnp.array(mean), "var": jnp.array(variance)}
    if passes is not None:
        statistics["passes"] = jnp.int32(passes)
    return {"params": {"scale": jnp.asarray(SCALE), "bias": jnp.asarray(BIAS)}, "batch_stats": statistics}


def run(norm: BatchNorm | BatchRenorm, given: dict[str, Any], train: bool = True) -> tuple[np.ndarray, Any]:
    out, kept = norm_module(norm, "norm", train).apply(given, jnp.asarray(X), mutable=["batch_stats"])
    return np.asarray(out), jax.tree.map(np.asarray, kept.get("batch_stats", {}))


def test_unbiased_running_variance_leaves_the_pass_unchanged() -> None:
    given = variables(None, [0.5, -7.0], [4.0, 0.3])
    biased, _ = run(BatchNorm(momentum=0.9, epsilon=0.1), given)
    unbiased, kept = run(BatchNorm(momentum=0.9, epsilon=0.1, running_variance="unbiased"), given)
    np.testing.assert_array_equal(unbiased, biased)
    np.testing.assert_allclose(kept["var"], 0.9 * np.array([4.0, 0.3]) + 0.1 * VARIANCE * 4 / 3, rtol=1e-12)


def test_variance_of_inputs_far_from_zero_does_not_cancel() -> None:
    x = (1000.0 + 0.3 * np.random.default_rng(0).normal(size=(512, 3))).astype(np.float32)
    module = norm_module(BatchNorm(momentum=0.0, epsilon=1e-3), "norm", train=True)
    out, kept = module.apply(module.init(jax.random.key(0), jnp.asarray(x)), jnp.asarray(x), mutable=["batch_stats"])
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(kept["batch_stats"]["var"], x.astype(float).var(axis=0), rtol=1e-3)
    np.testing.assert_allclose(kept["batch_stats"]["mean"], x.astype(float).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(out).std(axis=0), 1.0, atol=0.02)


def test_rms_norm_by_hand() -> None:
    out = norm_module(RMSNorm(0.1), "norm", train=True).apply({"params": {"scale": jnp.asarray(SCALE)}}, jnp.asarray(X))
    np.testing.assert_allclose(out, X / np.sqrt(np.square(X).mean(axis=1, keepdims=True) + 0.1) * SCALE, rtol=1e-12)
    assert not uses_batch_statistics(RMSNorm())


@pytest.mark.parametrize("passes", [0, 2])
def test_batch_renorm_equals_batch_norm_during_warm_up(passes: int) -> None:
    mean, variance = [0.5, -7.0], [4.0, 0.3]
    ours, kept = run(RENORM, variables(passes, mean, variance))
    theirs, plain = run(BatchNorm(momentum=0.9, epsilon=0.1), variables(None, mean, variance))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    np.testing.assert_allclose(kept["mean"], plain["mean"], rtol=1e-10)
    np.testing.assert_allclose(kept["var"], plain["var"], rtol=1e-10)
    assert kept["passes"] == passes + 1


def test_batch_renorm_within_bounds_uses_running_statistics() -> None:
    mean, variance = np.array([2.1, 1.9]), np.array([4.0, 2.5])
    out, _ = run(RENORM, variables(3, mean.tolist(), variance.tolist()))
    # Running statistics, except for epsilon, which CrossQ's code adds after r and d are folded into mean and variance.
    r, d = np.sqrt((VARIANCE + 0.1) / (variance + 0.1)), (MEAN - mean) / np.sqrt(variance + 0.1)
    by_hand = (X - MEAN + d * np.sqrt(VARIANCE) / r) / np.sqrt(VARIANCE / r**2 + 0.1) * SCALE + BIAS
    np.testing.assert_allclose(out, by_hand, rtol=1e-10)
    exactly, _ = run(dataclasses.replace(RENORM, epsilon=1e-12), variables(3, mean.tolist(), variance.tolist()))
    np.testing.assert_allclose(exactly, (X - mean) / np.sqrt(variance) * SCALE + BIAS, rtol=1e-10)


def test_batch_renorm_clips_ratio_and_shift() -> None:
    mean, variance = np.array([0.0, 10.0]), np.array([0.9, 99.9])  # running deviations 1 and 10
    out, kept = run(RENORM, variables(3, mean.tolist(), variance.tolist()))
    # Unit 0: deviation sqrt 5.1 against 1, clipped to 1.5; means 2 against 0, clipped to 0.25.
    # Unit 1: sqrt 2.1 against 10, clipped to 1 / 1.5; means 2 against 10 in tens, clipped to -0.25.
    r, d = np.array([1.5, 1 / 1.5]), np.array([0.25, -0.25])
    by_hand = (X - MEAN + d * np.sqrt(VARIANCE) / r) / np.sqrt(VARIANCE / r**2 + 0.1) * SCALE + BIAS
    np.testing.assert_allclose(out, by_hand, rtol=1e-10)
    np.testing.assert_allclose(kept["mean"], 0.9 * mean + 0.1 * MEAN, rtol=1e-10)
    np.testing.assert_allclose(kept["var"], 0.9 * variance + 0.1 * VARIANCE, rtol=1e-10)


def test_batch_renorm_corrections_have_no_gradient() -> None:
    given = variables(3, [2.1, 1.9], [4.0, 2.5])
    module = norm_module(RENORM, "norm", True)

    def out(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(module.apply(given, x, mutable=["batch_stats"])[0]))

    def by_hand(x: jax.Array) -> jax.Array:
        r, d = (
            np.sqrt(VARIANCE + 0.1) / np.sqrt(np.array([4.1, 2.6])),
            (MEAN - np.array([2.1, 1.9])) / np.sqrt([4.1, 2.6]),
        )
        shifted = x - (x.mean(axis=0) - d * jnp.sqrt(x.var(axis=0)) / r)[None]
        standard = shifted / jnp.sqrt(x.var(axis=0) / r**2 + 0.1)[None]
        return jnp.sum(jnp.sin(standard * SCALE[None] + BIAS[None]))

    np.testing.assert_allclose(jax.grad(out)(jnp.asarray(X)), jax.grad(by_hand)(jnp.asarray(X)), rtol=1e-9, atol=1e-12)


def test_batch_renorm_maps_a_constant_input_to_the_bias_with_finite_gradients() -> None:
    given = variables(3, [2.1, 1.9], [4.0, 2.5])
    module = norm_module(RENORM, "norm", True)

    def out(x: jax.Array) -> jax.Array:
        return module.apply(given, x, mutable=["batch_stats"])[0]

    constant = jnp.full(X.shape, 7.0)
    np.testing.assert_allclose(out(constant), np.broadcast_to(BIAS, X.shape), rtol=1e-12)
    assert np.isfinite(jax.grad(lambda x: jnp.sum(jnp.sin(out(x))))(constant)).all()


def test_evaluation_uses_running_statistics_unchanged() -> None:
    given = variables(3, [0.5, -7.0], [4.0, 0.3])
    out, kept = run(RENORM, given, train=False)
    by_hand = (X - np.array([0.5, -7.0])) / np.sqrt(np.array([4.1, 0.4])) * SCALE + BIAS
    np.testing.assert_allclose(out, by_hand, rtol=1e-10)
    assert kept == {} or all(np.array_equal(kept[name], given["batch_stats"][name]) for name in kept)


def test_batch_renorm_has_the_initial_state_of_batch_norm() -> None:
    ours = norm_module(RENORM, "norm", True).init(jax.random.key(0), jnp.asarray(X))
    theirs = norm_module(BatchNorm(), "norm", True).init(jax.random.key(0), jnp.asarray(X))
    assert int(ours["batch_stats"].pop("passes")) == 0
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("train", [True, False])
def test_layer_norm_by_hand(train: bool) -> None:
    params = {"params": {"scale": jnp.asarray(SCALE), "bias": jnp.asarray(BIAS)}}
    out = norm_module(LayerNorm(epsilon=0.5), "norm", train).apply(params, jnp.array([[1.0, 5.0]]))
    # Mean 3, biased variance 4, deviation sqrt 4.5.
    np.testing.assert_allclose(out, [[1.0 - 4.0 / np.sqrt(4.5), -1.0 + 1.0 / np.sqrt(4.5)]], rtol=1e-6)


def test_uses_batch_statistics() -> None:
    used = [uses_batch_statistics(norm) for norm in (BatchNorm(), BatchRenorm(), LayerNorm(), None)]
    assert used == [True, True, False, False]


def test_batch_norm_and_its_derivative_equal_flax() -> None:
    """Values, running statistics, and gradients, including those through the batch statistics."""
    given = variables(None, [0.5, -7.0], [4.0, 0.3])
    ours = norm_module(BatchNorm(momentum=0.9, epsilon=0.1), "norm", True)
    theirs = nn.BatchNorm(False, momentum=0.9, epsilon=0.1)

    def loss(module: nn.Module, params: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        out, kept = module.apply({**given, "params": params}, x, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(3.0 * out)), kept["batch_stats"]

    found, expected = (
        jax.value_and_grad(lambda *arguments, module=module: loss(module, *arguments), (0, 1), has_aux=True)(
            given["params"], jnp.asarray(X)
        )
        for module in (ours, theirs)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, expected)
    ours, theirs = (
        module.apply(given, jnp.asarray(X))
        for module in (norm_module(BatchNorm(epsilon=0.1), "norm", False), nn.BatchNorm(True, epsilon=0.1))
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_second_derivative_of_batch_norm() -> None:
    """Hessian-vector products, as used for curvature diagnostics."""
    given = variables(None, [0.0, 0.0], [1.0, 1.0])

    def loss(module: nn.Module, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(3.0 * module.apply(given, x, mutable=["batch_stats"])[0]))

    def product(module: nn.Module, x: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.vdot(jax.grad(lambda x: loss(module, x))(x), jnp.cos(x)))(x)

    ours, theirs = norm_module(BatchNorm(epsilon=0.1), "norm", True), nn.BatchNorm(False, epsilon=0.1)
    np.testing.assert_allclose(product(ours, jnp.asarray(X)), product(theirs, jnp.asarray(X)), rtol=1e-8, atol=1e-10)
