"""Theorems 4.1 and 4.2 of arXiv 2502.07523 on the torso, and its running statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from surefoot.networks import MLP, BatchNorm, Torso

pytestmark = pytest.mark.usefixtures("x64")

SAMPLES, INPUTS, WIDTHS = 32, 4, (6, 5)
NORMALISED = MLP(WIDTHS, BatchNorm(epsilon=1e-12))
PLAIN = MLP(WIDTHS)

scales = st.floats(-1.0, 1.0).map(lambda exponent: 10.0**exponent)
layers = st.sampled_from(["dense_0", "dense_1"])
seeds = st.integers(0, 2**32 - 1)


@functools.cache
def shapes(config: MLP) -> Any:
    return jax.eval_shape(lambda x: Torso(config.layers()).init(jax.random.key(0), x, True), jnp.zeros((1, INPUTS)))


def draw(config: MLP, seed: int) -> tuple[Any, jax.Array]:
    """Return random variables and inputs [SAMPLES, INPUTS]."""
    rng = np.random.default_rng(seed)
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes(config))
    return variables, jnp.asarray(rng.normal(size=(SAMPLES, INPUTS)))


@functools.cache
def compiled(config: MLP) -> Callable[[Any, jax.Array], tuple[jax.Array, Any, Any]]:
    """Return f(variables, x) -> output, gradient by the parameters of a loss on the output, hidden activations."""
    module = Torso(config.layers())

    def run(variables: Any, x: jax.Array) -> tuple[jax.Array, Any, Any]:
        def loss(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            out, state = module.apply(
                {**variables, "params": params},
                x,
                True,
                mutable=["batch_stats", "intermediates"],
                capture_intermediates=True,
            )
            # Any loss that weights samples differently.
            return jnp.sum(jnp.sin(out + jnp.arange(out.size).reshape(out.shape))), (out, state["intermediates"])

        gradient, (out, hidden) = jax.grad(loss, has_aux=True)(variables["params"])
        return out, gradient, {name: hidden[name]["__call__"][0] for name in ("dense_0", "dense_1")}

    return jax.jit(run)


def scale(variables: Any, layer: str, factor: float) -> Any:
    params = variables["params"]
    return {**variables, "params": {**params, layer: jax.tree.map(lambda x: factor * x, params[layer])}}


def all_units_alive(hidden: dict[str, jax.Array]) -> bool:
    """Whether every unit's activation varies over the batch, so that its variance dwarfs epsilon."""
    return all(float(jnp.maximum(pre, 0.0).std(axis=0).min()) > 1e-2 for pre in hidden.values())


@settings(max_examples=25, deadline=None)
@given(seed=seeds, factor=scales, layer=layers)
def test_theorem_4_1_function_is_invariant_to_layer_scale(seed: int, factor: float, layer: str) -> None:
    variables, x = draw(NORMALISED, seed)
    out, _, hidden = compiled(NORMALISED)(variables, x)
    assume(all_units_alive(hidden))
    scaled, _, _ = compiled(NORMALISED)(scale(variables, layer, factor), x)
    np.testing.assert_allclose(scaled, out, rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, factor=scales, layer=layers)
def test_theorem_4_2_gradient_is_inverse_to_layer_scale(seed: int, factor: float, layer: str) -> None:
    variables, x = draw(NORMALISED, seed)
    _, gradient, hidden = compiled(NORMALISED)(variables, x)
    assume(all_units_alive(hidden))
    _, at_scaled, _ = compiled(NORMALISED)(scale(variables, layer, factor), x)
    for kind in ("kernel", "bias"):
        expected = gradient[layer][kind] / factor
        size = float(jnp.abs(expected).max())
        np.testing.assert_allclose(at_scaled[layer][kind], expected, rtol=1e-5, atol=1e-5 * size)


@settings(max_examples=5, deadline=None)
@given(seed=seeds, layer=layers)
def test_without_normalisation_the_scale_matters(seed: int, layer: str) -> None:
    variables, x = draw(PLAIN, seed)
    out, _, hidden = compiled(PLAIN)(variables, x)
    assume(all_units_alive(hidden))
    scaled, _, _ = compiled(PLAIN)(scale(variables, layer, 3.0), x)
    assert not np.allclose(scaled, out, rtol=1e-2)


def test_evaluation_uses_running_statistics_unchanged() -> None:
    config = MLP((3,), BatchNorm(momentum=0.99, epsilon=1e-3))
    rng, module = np.random.default_rng(0), Torso(config.layers())
    shape = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, False), jnp.zeros((1, 2)))
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape)), shape)
    x = rng.normal(size=(4, 2))
    out = module.apply(variables, jnp.asarray(x), False)

    p, s = jax.tree.map(np.asarray, (variables["params"], variables["batch_stats"]))

    def normalise(x: np.ndarray, name: str) -> np.ndarray:
        standard = (x - s[name]["mean"]) / np.sqrt(s[name]["var"] + 1e-3)
        return standard * p[name]["scale"] + p[name]["bias"]

    hidden = np.maximum(normalise(x, "input_norm") @ p["dense_0"]["kernel"] + p["dense_0"]["bias"], 0.0)
    np.testing.assert_allclose(out, normalise(hidden, "norm_0"), rtol=1e-12)


@pytest.mark.parametrize(("momentum", "epsilon"), [(0.99, 1e-3), (0.5, 0.1)])
def test_running_statistics_follow_with_the_biased_variance(momentum: float, epsilon: float) -> None:
    """running = momentum x running + (1 - momentum) x batch, and the batch's own statistics normalise it."""
    config = MLP((3,), BatchNorm(momentum, epsilon))
    module, x = Torso(config.layers()), np.array([[1.0, 4.0], [3.0, 0.0], [5.0, 2.0], [-1.0, 2.0]])
    shape = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, True), jnp.asarray(x))
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5), shape)
    _, state = module.apply(variables, jnp.asarray(x), True, mutable=["batch_stats"])
    # By hand: means 2 and 2; biased variances (1 + 1 + 9 + 9) / 4 = 5 and (4 + 4 + 0 + 0) / 4 = 2.
    kept = state["batch_stats"]["input_norm"]
    np.testing.assert_allclose(kept["mean"], momentum * 0.5 + (1 - momentum) * np.array([2.0, 2.0]), rtol=1e-12)
    np.testing.assert_allclose(kept["var"], momentum * 0.5 + (1 - momentum) * np.array([5.0, 2.0]), rtol=1e-12)
