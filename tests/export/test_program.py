"""Folding changes the operations and not the function, for every kind of layer that a policy file knows."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from surefoot.export import numpy_file, onnx_file, stablehlo_file
from surefoot.export.program import Affine, Centre, Dense, LayerNorm, Program, Relu, Residual, make_program
from surefoot.policy import Policy, PolicySpec

O, W, A = 5, 6, 2  # noqa: E741, the axes' letters

HEAD = {"op": "tanh_gaussian_head", "mean": "mean", "log_std": "log_std", "log_std_min": -5, "log_std_max": 2}
METADATA = {
    "task": "t",
    "algorithm": "a",
    "observation": {"size": O},
    "action": {"size": A},
    "versions": {"surefoot": "0"},
}


def norm(name: str) -> dict[str, Any]:
    return {"op": "batch_norm", "name": name, "epsilon": 1e-3}


def dense(name: str) -> dict[str, Any]:
    return {"op": "dense", "name": name}


RELU = {"op": "relu"}
LAYER_NORM = {"op": "layer_norm", "name": "layer_norm", "epsilon": 1e-6}


def residual(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"op": "residual", "layers": list(layers)}


BODIES = {
    "crossq": ([norm("bn_o"), dense("in"), RELU, norm("bn_w")], [Dense, Relu, Dense]),
    "norm behind dense": ([dense("in"), norm("bn_w"), RELU, dense("no_bias")], [Dense, Relu, Dense, Dense]),
    "two norms in a row": ([norm("bn_o"), norm("bn_o2"), RELU, dense("in")], [Affine, Relu, Dense, Dense]),
    "residual": (
        [dense("in"), residual(LAYER_NORM, dense("square"), RELU, norm("bn_w")), norm("bn_w2")],
        [Dense, Residual, Dense],
    ),
    "norm before residual": (
        [dense("in"), RELU, norm("bn_w"), residual(norm("bn_w2"), dense("square"))],
        [Dense, Relu, Affine, Residual, Dense],
    ),
    "layer norm": ([dense("in"), RELU, LAYER_NORM, norm("bn_w")], [Dense, Relu, LayerNorm, Dense]),
    "nothing but a head": ([dense("in")], [Dense, Dense]),
}
"""Layers of a policy file, and the kinds of layers that they are folded to, the head's included."""


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def batch_norm(width: int) -> dict[str, np.ndarray]:
        return {
            "mean": rng.normal(size=width),
            "var": rng.uniform(0.01, 2, size=width),
            "scale": rng.normal(size=width),
            "bias": rng.normal(size=width),
        }

    widths = {"in": (O, W), "square": (W, W), "no_bias": (W, W), "mean": (W, A), "log_std": (W, A)}
    made = {name: {"kernel": rng.normal(size=s) / s[0], "bias": rng.normal(size=s[1])} for name, s in widths.items()}
    del made["no_bias"]["bias"]
    made |= {"bn_o": batch_norm(O), "bn_o2": batch_norm(O), "bn_w": batch_norm(W), "bn_w2": batch_norm(W)}
    made["layer_norm"] = {"scale": rng.normal(size=W), "bias": rng.normal(size=W)}
    return {f"{name}/{part}": array.astype(np.float32) for name, parts in made.items() for part, array in parts.items()}


def policy_of(body: list[dict[str, Any]], mapping: str = "clip") -> tuple[PolicySpec, dict[str, np.ndarray]]:
    values = {
        "observation_size": O,
        "action_size": A,
        "action_low": [-2.0, 0.1],
        "action_high": [1.0, 0.7],
        "observation_keys": None,
        "task": "t",
        "algorithm": "a",
        "env_steps": 0,
        "seeds": [0],
        "scores": [None],
        "layers": [*body, HEAD | {"mapping": mapping}],
    }
    return PolicySpec.from_mapping(values), arrays()


@pytest.fixture
def observation() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(7, O)).astype(np.float32)


@pytest.mark.parametrize("writer", [numpy_file, onnx_file, stablehlo_file], ids=lambda m: m.__name__.split(".")[-1])
@pytest.mark.parametrize("body", BODIES, ids=str)
def test_every_layer_in_every_format_acts_as_the_policy_does(
    body: str, writer: ModuleType, observation: np.ndarray
) -> None:
    spec, own = policy_of(BODIES[body][0], mapping="tanh" if body == "crossq" else "clip")
    program = make_program(spec, own)
    assert [type(layer) for layer in program.layers] == BODIES[body][1]
    expected = Policy(spec, {name: array[None] for name, array in own.items()}, 0)(observation)
    actual = writer.act(writer.encode(program, METADATA), observation)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=3e-6)


def test_the_formats_keep_to_the_bounds_and_take_any_batch() -> None:
    spec, own = policy_of(BODIES["crossq"][0])
    program = make_program(spec, own)
    for writer in (numpy_file, onnx_file, stablehlo_file):
        content = writer.encode(program, METADATA)
        for batch in (1, 3):
            far = 1e6 * np.random.default_rng(2).normal(size=(batch, O)).astype(np.float32)
            action = writer.act(content, far)
            assert action.shape == (batch, A)
            assert (action >= program.low).all()
            assert (action <= program.high).all()
            assert ((action == program.low) | (action == program.high)).any(), "not far enough to reach a bound"


def test_inputs_far_from_zero_need_their_mean_kept(observation: np.ndarray) -> None:
    spec, own = policy_of(BODIES["crossq"][0])
    own["bn_o/mean"] = np.full(O, 30_000.0, np.float32)
    own["bn_o/var"] = np.full(O, 1e-4, np.float32)
    far = np.float32(30_000) + np.float32(0.0625) * np.round(observation)
    exact = np.tanh(_float64(own, far))

    def error(keep_input_mean: bool) -> float:
        program = make_program(spec, own, keep_input_mean=keep_input_mean)
        action = numpy_file.act(numpy_file.encode(program, METADATA), far)
        return float(np.abs((action - program.centre) / program.half_span - exact).max())

    assert error(False) > 1e-4
    assert error(True) < 1e-6
    kept = make_program(spec, own, keep_input_mean=True)
    assert [type(layer) for layer in kept.layers] == [Centre, Dense, Relu, Dense]
    for writer in (onnx_file, stablehlo_file):
        same = numpy_file.act(numpy_file.encode(kept, METADATA), far)
        np.testing.assert_allclose(writer.act(writer.encode(kept, METADATA), far), same, atol=3e-6)


def _float64(own: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    a = {name: array.astype(np.float64) for name, array in own.items()}

    def batch_norm(x: np.ndarray, name: str) -> np.ndarray:
        scale = a[f"{name}/scale"] / np.sqrt(a[f"{name}/var"] + 1e-3)
        return (x - a[f"{name}/mean"]) * scale + a[f"{name}/bias"]

    x = np.maximum(batch_norm(x, "bn_o") @ a["in/kernel"] + a["in/bias"], 0)
    return batch_norm(x, "bn_w") @ a["mean/kernel"] + a["mean/bias"]


def test_a_program_is_rounded_once_and_holds_float32_alone() -> None:
    spec, own = policy_of(BODIES["residual"][0])

    def dtypes(layer: Any) -> set[Any]:
        if isinstance(layer, Residual):
            return {dtype for inner in layer.layers for dtype in dtypes(inner)}
        return {value.dtype for value in vars(layer).values() if isinstance(value, np.ndarray)}

    program: Program = make_program(spec, own)
    assert {dtype for layer in program.layers for dtype in dtypes(layer)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("encode", [numpy_file.encode, onnx_file.encode])
def test_equal_policies_make_equal_bytes(encode: Callable[..., bytes]) -> None:
    program = make_program(*policy_of(BODIES["crossq"][0]))
    assert encode(program, METADATA) == encode(program, METADATA)
