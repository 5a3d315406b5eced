"""Actor and critic: shapes, initialisation, bounds, the ensemble."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.networks import MLP, Actor, BatchNorm, Critic, LogStdRange, critic_ensemble

NORMALISED = MLP((8, 6), BatchNorm())


def initialised(init: Callable[[jax.Array], Any]) -> Any:
    return jax.jit(init)(jax.random.key(0))


@pytest.fixture(scope="module")
def actor() -> Any:
    module = Actor(NORMALISED, LogStdRange(), 2)
    return initialised(lambda key: module.init(key, jnp.zeros((1, 3)), False))


@pytest.fixture(scope="module")
def critics() -> Any:
    module = critic_ensemble(NORMALISED, 3)
    return initialised(lambda key: module.init(key, jnp.zeros((1, 3)), jnp.zeros((1, 2)), False))


def test_layers_of_the_actor(actor: Any) -> None:
    shapes = jax.tree.map(lambda leaf: leaf.shape, actor["params"])
    assert shapes == {
        "torso": {
            "input_norm": {"scale": (3,), "bias": (3,)},
            "dense_0": {"kernel": (3, 8), "bias": (8,)},
            "norm_0": {"scale": (8,), "bias": (8,)},
            "dense_1": {"kernel": (8, 6), "bias": (6,)},
            "norm_1": {"scale": (6,), "bias": (6,)},
        },
        "mean": {"kernel": (6, 2), "bias": (2,)},
        "log_std": {"kernel": (6, 2), "bias": (2,)},
    }
    assert set(actor["batch_stats"]["torso"]) == {"input_norm", "norm_0", "norm_1"}


def test_network_without_normalization_has_no_statistics() -> None:
    module, empty = Critic(MLP((4,)), 1), (jnp.zeros((1, 3)), jnp.zeros((1, 2)))
    variables = jax.eval_shape(lambda key: module.init(key, *empty, False), jax.random.key(0))
    assert "batch_stats" not in variables
    assert set(variables["params"]["torso"]) == {"dense_0"}


def test_ensemble_arrays_have_a_leading_critic_axis_and_differ(critics: Any) -> None:
    for leaf in jax.tree.leaves(critics):
        assert leaf.shape[0] == 3
    kernel = critics["params"]["torso"]["dense_0"]["kernel"]
    assert kernel.shape == (3, 5, 8)
    assert len({np.asarray(k).tobytes() for k in kernel}) == 3


def test_ensemble_equals_its_members(critics: Any) -> None:
    rng = np.random.default_rng(0)
    observation, action = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=(4, 2)))
    together = critic_ensemble(NORMALISED, 3).apply(critics, observation, action, False)
    assert together.shape == (3, 4, 1)
    for c in range(3):
        one = Critic(NORMALISED, 1).apply(jax.tree.map(lambda x, c=c: x[c], critics), observation, action, False)
        np.testing.assert_allclose(together[c], one, rtol=1e-5, atol=1e-6)


def gram(kernel: jax.Array) -> np.ndarray:
    """Return the inner products of the shorter side's vectors."""
    k = np.asarray(kernel, np.float64)
    return k @ k.T if k.shape[0] < k.shape[1] else k.T @ k


def test_initial_layers_are_orthogonal_with_paper_gains(actor: Any, critics: Any) -> None:
    params, one = actor["params"], jax.tree.map(lambda x: x[0], critics["params"])
    kernels = [
        (params["torso"]["dense_0"], 2.0),
        (params["torso"]["dense_1"], 2.0),
        (params["mean"], 2.0),
        (params["log_std"], 1.0),
        (one["torso"]["dense_0"], 2.0),
        (one["torso"]["dense_1"], 2.0),
        (one["head"], 2.0),
    ]
    for layer, squared_gain in kernels:
        product = gram(layer["kernel"])
        np.testing.assert_allclose(product, squared_gain * np.eye(len(product)), atol=1e-5)
        assert not np.any(layer["bias"])


def test_log_std_clip_and_tanh_by_hand() -> None:
    raw = jnp.array([-50.0, -1.0, 0.0, 1.5, 50.0])
    np.testing.assert_allclose(LogStdRange(-10.0, 2.0, "clip")(raw), [-10.0, -1.0, 0.0, 1.5, 2.0])
    middle = -4.0  # of [-10, 2], half width 6
    expected = [-10.0, middle + 6.0 * math.tanh(-1.0), middle, middle + 6.0 * math.tanh(1.5), 2.0]
    np.testing.assert_allclose(LogStdRange(-10.0, 2.0, "tanh")(raw), expected, rtol=1e-5)
