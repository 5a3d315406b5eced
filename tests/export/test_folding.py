"""Folded layers and their ONNX model against the NumPy policy, for every kind of layer in a policy file."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from surefoot.export import onnx_file
from surefoot.export.folding import Affine, Centre, Dense, LayerNorm, Relu, Residual, RMSNorm, folded_layers
from surefoot.policy import Policy, PolicySpec
from surefoot.tasks.spaces import describe_action
from tests.flat_spaces import flat_spaces

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
RMS_NORM = {"op": "rms_norm", "name": "rms_norm", "epsilon": 1e-6}
LAYER_NORM = {"op": "layer_norm", "name": "layer_norm", "epsilon": 1e-6}


def residual(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"op": "residual", "layers": list(layers)}


BODIES = {
    "crossq": ([norm("bn_o"), dense("in"), RELU, norm("bn_w")], [Centre, Dense, Relu, Dense]),
    "norm after dense": ([dense("in"), norm("bn_w"), RELU, dense("no_bias")], [Dense, Relu, Dense, Dense]),
    "two norms in a row": ([norm("bn_o"), norm("bn_o2"), RELU, dense("in")], [Centre, Affine, Relu, Dense, Dense]),
    "residual": (
        [dense("in"), residual(LAYER_NORM, dense("square"), RELU, norm("bn_w")), norm("bn_w2")],
        [Dense, Residual, Dense],
    ),
    "norm before residual": (
        [dense("in"), RELU, norm("bn_w"), residual(norm("bn_w2"), dense("square"))],
        [Dense, Relu, Affine, Residual, Dense],
    ),
    "layer norm": ([dense("in"), RELU, LAYER_NORM, norm("bn_w")], [Dense, Relu, LayerNorm, Dense]),
    "rms norm": ([dense("in"), RELU, RMS_NORM, norm("bn_w")], [Dense, Relu, RMSNorm, Dense]),
    "dense only": ([dense("in")], [Dense, Dense]),
}
"""Layers of a policy file and the kinds of their folded layers, the head included."""


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
    made["rms_norm"] = {"scale": rng.normal(size=W)}
    made["layer_norm"] = {"scale": rng.normal(size=W), "bias": rng.normal(size=W)}
    return {f"{name}/{part}": array.astype(np.float32) for name, parts in made.items() for part, array in parts.items()}


def policy_of(body: list[dict[str, Any]], mapping: str = "clip") -> tuple[PolicySpec, dict[str, np.ndarray]]:
    values = {
        "spaces": flat_spaces(O, [-2.0, 0.1], [1.0, 0.7]),
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


def policy(spec: PolicySpec, own: dict[str, np.ndarray]) -> Policy:
    return Policy(spec, {name: array[None] for name, array in own.items()}, 0)


def encode(spec: PolicySpec, own: dict[str, np.ndarray]) -> bytes:
    return onnx_file.encode(folded_layers(spec, own), spec.spaces.action, METADATA)


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_model_of_each_layer_kind_equals_numpy_policy(body: str, observation: np.ndarray) -> None:
    spec, own = policy_of(BODIES[body][0], mapping="tanh" if body == "crossq" else "clip")
    assert [type(layer) for layer in folded_layers(spec, own)] == BODIES[body][1]
    actual = onnx_file.act(encode(spec, own), observation)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, policy(spec, own).batch(observation), atol=3e-6)


def test_actions_stay_within_bounds_for_any_batch_size() -> None:
    spec, own = policy_of(BODIES["crossq"][0])
    content, low, high = encode(spec, own), policy(spec, own).action_low, policy(spec, own).action_high
    for batch in (1, 3):
        far = 1e6 * np.random.default_rng(2).normal(size=(batch, O)).astype(np.float32)
        action = onnx_file.act(content, far)
        assert action.shape == (batch, A)
        assert (action >= low).all()
        assert (action <= high).all()
        assert ((action == low) | (action == high)).any(), "not far enough to reach a bound"


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_actions_have_the_dtype_of_the_action_space(dtype: type[np.floating[Any]], observation: np.ndarray) -> None:
    space = Box(np.array([-0.1, 0.7], dtype), np.array([0.1, 1.1], dtype), dtype=dtype)
    spec, own = policy_of(BODIES["crossq"][0])
    spec = dataclasses.replace(spec, spaces=dataclasses.replace(spec.spaces, action=describe_action(space)))
    actions = onnx_file.act(encode(spec, own), np.concatenate([observation, 1e6 * observation]))
    assert all(space.contains(action) for action in actions)
    assert (actions == space.low).any()
    assert (actions == space.high).any()
    np.testing.assert_allclose(
        actions[:7], policy(spec, own).batch(observation), atol=1e-3 if dtype == np.float16 else 1e-6
    )


def test_observations_far_from_zero_keep_their_precision(observation: np.ndarray) -> None:
    spec, own = policy_of(BODIES["crossq"][0])
    own["bn_o/mean"] = np.full(O, 30_000.0, np.float32)
    own["bn_o/var"] = np.full(O, 1e-4, np.float32)
    far = np.float32(30_000) + np.float32(0.0625) * np.round(observation)
    low, high = policy(spec, own).action_low, policy(spec, own).action_high
    scaled = (onnx_file.act(encode(spec, own), far) - 0.5 * (high + low)) / (0.5 * (high - low))
    np.testing.assert_allclose(scaled, np.tanh(_float64(own, far)), atol=1e-6)


def _float64(own: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    a = {name: array.astype(np.float64) for name, array in own.items()}

    def batch_norm(x: np.ndarray, name: str) -> np.ndarray:
        scale = a[f"{name}/scale"] / np.sqrt(a[f"{name}/var"] + 1e-3)
        return (x - a[f"{name}/mean"]) * scale + a[f"{name}/bias"]

    x = np.maximum(batch_norm(x, "bn_o") @ a["in/kernel"] + a["in/bias"], 0)
    return batch_norm(x, "bn_w") @ a["mean/kernel"] + a["mean/bias"]


def test_equal_policies_give_equal_bytes() -> None:
    assert encode(*policy_of(BODIES["crossq"][0])) == encode(*policy_of(BODIES["crossq"][0]))
