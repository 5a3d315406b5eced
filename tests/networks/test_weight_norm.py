"""Projection to unit norm, by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.networks import MLP, dense_norm, project, squared_norm

PATH = ("torso", "dense_0")


def params() -> dict:
    # Output unit 0: weights 3, 0 and bias 4, norm 5. Output unit 1: weights 2, 1 and bias -2, norm 3.
    layer = {"kernel": jnp.array([[3.0, 2.0], [0.0, 1.0]]), "bias": jnp.array([4.0, -2.0])}
    other = {"kernel": jnp.array([[7.0], [1.0]]), "bias": jnp.array([5.0])}
    return {"torso": {"dense_0": layer, "norm_0": {"scale": jnp.array([9.0, 9.0])}}, "head": other}


def test_projection_by_hand() -> None:
    layer = project(params(), [PATH])["torso"]["dense_0"]
    np.testing.assert_allclose(layer["kernel"], [[0.6, 2 / 3], [0.0, 1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(layer["bias"], [0.8, -2 / 3], rtol=1e-6)


def test_only_the_named_layers_change_and_the_input_stays() -> None:
    before = params()
    after = project(before, [PATH])
    np.testing.assert_array_equal(after["head"]["kernel"], before["head"]["kernel"])
    np.testing.assert_array_equal(after["torso"]["norm_0"]["scale"], before["torso"]["norm_0"]["scale"])
    np.testing.assert_array_equal(before["torso"]["dense_0"]["kernel"], params()["torso"]["dense_0"]["kernel"])
    assert jax.tree.structure(after) == jax.tree.structure(before)


def test_ensemble_members_are_projected_separately() -> None:
    stacked = jax.tree.map(lambda x: jnp.stack([x, -2.0 * x]), params())
    layer = project(stacked, [PATH])["torso"]["dense_0"]
    np.testing.assert_allclose(layer["kernel"][0], -layer["kernel"][1], rtol=1e-6)
    np.testing.assert_allclose(layer["bias"], [[0.8, -2 / 3], [-0.8, 2 / 3]], rtol=1e-6)


def test_projection_of_a_zero_unit_is_finite() -> None:
    zero = jax.tree.map(jnp.zeros_like, params())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(project(zero, [PATH])))


def test_projection_is_idempotent_and_ignores_scale() -> None:
    once = project(params(), [PATH])
    scaled = jax.tree.map(lambda x: 17.0 * x, params())
    for again in (project(once, [PATH]), project(scaled, [PATH])):
        np.testing.assert_allclose(again["torso"]["dense_0"]["kernel"], once["torso"]["dense_0"]["kernel"], rtol=1e-6)
        np.testing.assert_allclose(again["torso"]["dense_0"]["bias"], once["torso"]["dense_0"]["bias"], rtol=1e-6)


def test_projecting_a_kernel_leaves_the_bias() -> None:
    layer = project(params(), [], kernel_only=[PATH])["torso"]["dense_0"]
    np.testing.assert_allclose(layer["kernel"], [[1.0, 2 / 5**0.5], [0.0, 1 / 5**0.5]], rtol=1e-6)
    np.testing.assert_array_equal(layer["bias"], [4.0, -2.0])


def test_projection_of_hidden_layers_and_heads() -> None:
    after = project(params(), [PATH], kernel_only=[("head",)])
    np.testing.assert_allclose(after["torso"]["dense_0"]["bias"], [0.8, -2 / 3], rtol=1e-6)
    np.testing.assert_allclose(after["head"]["kernel"], [[7 / 50**0.5], [1 / 50**0.5]], rtol=1e-6)
    np.testing.assert_array_equal(after["head"]["bias"], [5.0])


def test_projection_of_a_layer_without_bias() -> None:
    without = {"torso": {"dense_0": {"kernel": params()["torso"]["dense_0"]["kernel"]}}}
    layer = project(without, [PATH])["torso"]["dense_0"]
    assert set(layer) == {"kernel"}
    np.testing.assert_allclose(layer["kernel"], [[1.0, 2 / 5**0.5], [0.0, 1 / 5**0.5]], rtol=1e-6)
    np.testing.assert_allclose(dense_norm(without, [PATH]), np.sqrt(14.0), rtol=1e-6)
    np.testing.assert_allclose(squared_norm(without, [PATH]), 14.0, rtol=1e-6)


def test_squared_norm_by_hand() -> None:
    np.testing.assert_allclose(squared_norm(params(), [PATH, ("head",)]), 34.0 + 75.0, rtol=1e-6)
    stacked = jax.tree.map(lambda x: jnp.stack([x, -2.0 * x]), params())
    np.testing.assert_allclose(squared_norm(stacked, [PATH, ("head",)]), [109.0, 4 * 109.0], rtol=1e-6)


def test_dense_norm_by_hand() -> None:
    # sqrt(9 + 4 + 0 + 1 + 16 + 4) + sqrt(49 + 1 + 25)
    expected = np.sqrt(34.0) + np.sqrt(75.0)
    np.testing.assert_allclose(dense_norm(params(), [PATH, ("head",)]), expected, rtol=1e-6)
    stacked = jax.tree.map(lambda x: jnp.stack([x, -2.0 * x]), params())
    np.testing.assert_allclose(dense_norm(stacked, [PATH, ("head",)]), [expected, 2 * expected], rtol=1e-6)


def test_hidden_layer_paths_exist() -> None:
    assert MLP((4, 5, 6)).hidden_layers == (("torso", "dense_0"), ("torso", "dense_1"), ("torso", "dense_2"))
