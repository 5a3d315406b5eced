"""Torsos against a NumPy reference, and queries on lists of layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.networks import (
    MLP,
    Actor,
    BatchNorm,
    BroNet,
    Critic,
    DeterministicActor,
    FlashSACNet,
    LayerNorm,
    LogStdRange,
    SimBaNet,
    Torso,
    TorsoConfig,
    unnormalized_layer,
)
from surefoot.networks.layers import Dense, Dropout, Layer, Normalize, Relu, Residual, hidden_layers

pytestmark = pytest.mark.usefixtures("x64")

X = np.random.default_rng(1).normal(size=(7, 3))


def variables(config: TorsoConfig, seed: int = 0) -> Any:
    module, rng = Torso(config.layers()), np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.asarray(X), False))
    return {"params": jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes["params"])}


def run(config: TorsoConfig, given: Any, train: bool = False, key: jax.Array | None = None) -> np.ndarray:
    rngs = None if key is None else {"dropout": key}
    return np.asarray(Torso(config.layers()).apply(given, jnp.asarray(X), train, rngs=rngs))


def numpy_layers(given: Any) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    params = jax.tree.map(np.asarray, given["params"])

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ params[name]["kernel"] + params[name].get("bias", 0.0)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-6) * params[name]["scale"] + params[name]["bias"]

    return dense, norm


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


@pytest.mark.parametrize("train", [True, False])
def test_bro_net_equals_numpy_reference(train: bool) -> None:
    config = BroNet(width=5, blocks=2)
    given = variables(config)
    dense, norm = numpy_layers(given)
    x = relu(norm(dense(X, "dense"), "norm"))
    for i in range(2):
        inner = relu(norm(dense(x, f"block_{i}_dense_0"), f"block_{i}_norm_0"))
        x = x + norm(dense(inner, f"block_{i}_dense_1"), f"block_{i}_norm_1")
    np.testing.assert_allclose(run(config, given, train), x, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("train", [True, False])
def test_simba_net_equals_numpy_reference(train: bool) -> None:
    config = SimBaNet(width=5, blocks=2, expansion=3)
    given = variables(config)
    assert given["params"]["block_0_dense_0"]["kernel"].shape == (5, 15)
    dense, norm = numpy_layers(given)
    x = dense(X, "dense")
    for i in range(2):
        x = x + dense(relu(dense(norm(x, f"block_{i}_norm"), f"block_{i}_dense_0")), f"block_{i}_dense_1")
    np.testing.assert_allclose(run(config, given, train), norm(x, "norm"), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("train", [True, False])
def test_flashsac_net_equals_numpy_reference(train: bool) -> None:
    config = FlashSACNet(width=5, blocks=2, expansion=3)
    given = variables(config)
    params = jax.tree.map(np.asarray, given["params"])
    rng = np.random.default_rng(2)
    given["batch_stats"] = {
        name: {"mean": jnp.asarray(rng.normal(size=n)), "var": jnp.asarray(rng.uniform(0.5, 2.0, n))}
        for name, n in {name: layer["scale"].size for name, layer in params.items() if "bias" in layer}.items()
    }
    assert [name for name, layer in params.items() if "kernel" in layer and "bias" in layer] == []

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        running = jax.tree.map(np.asarray, given["batch_stats"][name])
        mean, variance = (x.mean(axis=0), x.var(axis=0)) if train else (running["mean"], running["var"])
        return (x - mean) / np.sqrt(variance + 1e-5) * params[name]["scale"] + params[name]["bias"]

    x = norm(X, "input_norm") @ params["dense"]["kernel"]
    for i in range(2):
        inner = relu(norm(x @ params[f"block_{i}_dense_0"]["kernel"], f"block_{i}_norm_0"))
        assert inner.shape == (7, 15)
        x = x + relu(norm(inner @ params[f"block_{i}_dense_1"]["kernel"], f"block_{i}_norm_1"))
    expected = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-6) * params["norm"]["scale"]
    found, _ = Torso(config.layers()).apply(given, jnp.asarray(X), train, mutable=["batch_stats"])
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("order", "bias"), [("post", True), ("pre", True), ("pre", False)])
def test_layer_normalised_mlp_equals_numpy_reference(order: Any, bias: bool) -> None:
    """The input is not normalised; the norm is before or after the activation."""
    config = MLP((5, 4), LayerNorm(), norm_order=order, bias=bias)
    given = variables(config)
    assert set(given["params"]) == {"dense_0", "norm_0", "dense_1", "norm_1"}
    assert ("bias" in given["params"]["dense_0"]) == bias
    dense, norm = numpy_layers(given)
    x = X
    for i in range(2):
        x = dense(x, f"dense_{i}")
        x = norm(relu(x), f"norm_{i}") if order == "post" else relu(norm(x, f"norm_{i}"))
    np.testing.assert_allclose(run(config, given), x, rtol=1e-8, atol=1e-10)


def test_xqc_has_the_layers_of_the_paper() -> None:
    norm = BatchNorm()
    assert MLP((4, 4), norm, norm_order="pre", bias=False).layers() == (
        Normalize("input_norm", norm),
        *(Dense("dense_0", 4, "orthogonal", False), Normalize("norm_0", norm), Relu()),
        *(Dense("dense_1", 4, "orthogonal", False), Normalize("norm_1", norm), Relu()),
    )


def test_droq_has_the_layers_of_the_paper() -> None:
    """Dropout follows the dense layer, before its normalisation (DroQ, Figure 1)."""
    norm = LayerNorm()
    assert MLP((4,), norm, norm_order="pre", dropout=0.01).layers() == (
        *(Dense("dense_0", 4), Dropout("dropout_0", 0.01), Normalize("norm_0", norm), Relu()),
    )


# -------------------------------------------------------------------- dropout


def test_dropout_needs_a_key_and_has_its_rate() -> None:
    config = MLP((2000,), dropout=0.3)
    given = variables(config)
    plain, key = run(config, given), jax.random.key(0)
    np.testing.assert_array_equal(run(config, given, train=True), plain)  # no dropout without a key
    dropped = run(config, given, train=False, key=key)  # dropout with a key, also in evaluation
    alive = plain > 0.0
    assert float((dropped[alive] == 0.0).mean()) == pytest.approx(0.3, abs=0.02)
    kept = alive & (dropped != 0.0)
    np.testing.assert_allclose(dropped[kept], plain[kept] / 0.7, rtol=1e-10)
    np.testing.assert_array_equal(run(config, given, key=key), dropped)
    assert not np.array_equal(run(config, given, key=jax.random.key(1)), dropped)


# -------------------------------------------------------------------- activations


@pytest.mark.parametrize(
    ("config", "hidden"),
    [
        (MLP((5, 4)), {"dense_0": 5, "dense_1": 4}),
        (BroNet(5, 1), {"dense": 5, "block_0_dense_0": 5}),
        (SimBaNet(5, 1, 3), {"block_0_dense_0": 15}),
        (FlashSACNet(5, 1, 3), {"block_0_dense_0": 15, "block_0_dense_1": 5}),
    ],
)
def test_every_activation_is_collected(config: TorsoConfig, hidden: dict[str, int]) -> None:
    given = variables(config)
    out, state = Torso(config.layers()).apply(given, jnp.asarray(X), True, mutable=["activations", "batch_stats"])
    found = {name: leaf[0] for name, leaf in state["activations"].items()}
    np.testing.assert_array_equal(found.pop("features"), out)
    assert {name: leaf.shape for name, leaf in found.items()} == {f"after_{k}": (7, n) for k, n in hidden.items()}
    assert all((np.asarray(leaf) >= 0.0).all() for leaf in found.values())
    if isinstance(config, MLP):
        np.testing.assert_array_equal(found["after_dense_1"], out)


# -------------------------------------------------------------------- lists of layers


NORM = Normalize("norm", LayerNorm())
FIRST, SECOND = Dense("first", 4), Dense("second", 4)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((), None),
        ((FIRST, NORM), None),
        ((FIRST, Relu(), NORM), None),
        ((FIRST, Dropout("d", 0.1), Relu(), NORM, SECOND, NORM), None),
        ((FIRST,), "first"),
        ((FIRST, Relu()), "first"),
        ((NORM, FIRST, Relu()), "first"),
        ((FIRST, Relu(), SECOND, NORM), "first"),
        ((FIRST, NORM, SECOND, Relu()), "second"),
        ((FIRST, NORM, Residual((SECOND, NORM))), None),
        # Both terms of the sum must be normalised.
        ((FIRST, Residual((NORM, SECOND, NORM))), "first"),
        ((FIRST, NORM, Residual((SECOND,)), NORM), "second"),
        ((FIRST, NORM, Residual((NORM, SECOND, Relu())), NORM), "second"),
    ],
)
def test_first_layer_without_normalisation_is_found(layers: tuple[Layer, ...], expected: str | None) -> None:
    assert unnormalized_layer(layers) == expected


def test_layer_that_prevents_unit_norm_is_named() -> None:
    free: dict[TorsoConfig, str | None] = {
        MLP((4, 4), BatchNorm()): None,
        MLP((4, 4), LayerNorm(), norm_order="pre"): None,
        MLP((4, 4)): "dense_0",
        BroNet(4, 2): None,
        SimBaNet(4, 2): "dense",
        FlashSACNet(4, 2): "dense",
    }
    assert {config: unnormalized_layer(config.layers()) for config in free} == free


def test_layer_scale_changes_the_function_iff_unnormalized() -> None:
    for config in (BroNet(5, 1), SimBaNet(5, 1), MLP((5, 4), LayerNorm(), norm_order="pre"), MLP((5, 4))):
        given = variables(config)
        free = unnormalized_layer(config.layers())
        for path in hidden_layers(config.layers()):
            name = path[1]
            params = given["params"]
            scaled = {**params, name: jax.tree.map(lambda x: 3.0 * x, params[name])}
            same = np.allclose(run(config, {"params": scaled}), run(config, given), rtol=1e-3, atol=1e-3)
            if free is None:
                assert same, (config, name)
            elif free == name:
                assert not same, (config, name)


def test_hidden_layers_include_those_of_blocks() -> None:
    expected = [("torso", name) for name in ("dense", "block_0_dense_0", "block_0_dense_1")]
    assert list(BroNet(4, 1).hidden_layers) == expected
    assert list(SimBaNet(4, 1).hidden_layers) == expected
    assert list(FlashSACNet(4, 1).hidden_layers) == expected
    assert MLP((4, 5)).hidden_layers == (("torso", "dense_0"), ("torso", "dense_1"))


# -------------------------------------------------------------------- initialisation


def initial(module: Any, *inputs: jax.Array) -> Any:
    init = jax.jit(lambda key: module.init(key, *inputs, False)["params"])
    return jax.tree.map(np.asarray, init(jax.random.key(0)))


def squared_gain(kernel: np.ndarray) -> float:
    """Return the squared gain of an orthogonal kernel; NaN if it is not orthogonal."""
    product = kernel @ kernel.T if kernel.shape[0] < kernel.shape[1] else kernel.T @ kernel
    gain = product[0, 0]
    return float(gain) if np.allclose(product, gain * np.eye(len(product)), atol=1e-5) else float("nan")


def test_simba_is_initialised_as_released() -> None:
    params = initial(Critic(SimBaNet(64, 1), 1), jnp.zeros((1, 3)), jnp.zeros((1, 2)))
    torso = params["torso"]
    assert squared_gain(torso["dense"]["kernel"]) == pytest.approx(1.0, abs=1e-5)
    assert squared_gain(params["head"]["kernel"]) == pytest.approx(1.0, abs=1e-5)
    assert torso["block_0_dense_0"]["kernel"].std() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert torso["block_0_dense_1"]["kernel"].std() == pytest.approx((2 / 256) ** 0.5, rel=0.05)


def test_flashsac_is_initialised_as_released() -> None:
    params = initial(Critic(FlashSACNet(16, 1), 4), jnp.zeros((1, 3)), jnp.zeros((1, 2)))
    for layer in (params["torso"]["dense"], params["torso"]["block_0_dense_0"], params["head"]):
        assert squared_gain(layer["kernel"]) == pytest.approx(1.0, abs=1e-5)
    assert (params["torso"]["norm"]["scale"] == 1.0).all()


def test_bro_is_initialised_as_released() -> None:
    params = initial(Actor(BroNet(16, 1), LogStdRange(), 2), jnp.zeros((1, 3)))
    for name in ("dense", "block_0_dense_0", "block_0_dense_1"):
        assert squared_gain(params["torso"][name]["kernel"]) == pytest.approx(2.0, abs=1e-4)
    assert squared_gain(params["mean"]["kernel"]) == pytest.approx(2.0, abs=1e-4)
    assert squared_gain(params["log_std"]["kernel"]) == pytest.approx(1.0, abs=1e-4)


def test_crossq_2024_is_initialised_as_released() -> None:
    params = initial(Actor(MLP((128, 128), BatchNorm(), init="lecun"), LogStdRange(), 64), jnp.zeros((1, 96)))
    layers = [params["torso"]["dense_0"], params["torso"]["dense_1"], params["mean"], params["log_std"]]
    for layer in layers:
        inputs = layer["kernel"].shape[0]
        assert layer["kernel"].std() == pytest.approx(inputs**-0.5, rel=0.05)
        assert np.isnan(squared_gain(layer["kernel"]))
        assert not layer["bias"].any()


def test_deterministic_actor_has_one_head() -> None:
    params = initial(DeterministicActor(MLP((4,)), 2), jnp.zeros((1, 3)))
    assert set(params) == {"torso", "mean"}
