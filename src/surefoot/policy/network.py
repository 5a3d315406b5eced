"""Layers of a policy in NumPy, and validation of their arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from surefoot.errors import UserError
from surefoot.policy.spec import PolicySpec

Layer = Callable[[np.ndarray], np.ndarray]
"""From activations [B, width in] to [B, width out], float32, without changing its argument."""


def check_arrays(spec: PolicySpec, arrays: Mapping[str, np.ndarray]) -> None:
    """Validate that the arrays, with leading seed axis S, are those of the layers from O inputs to A outputs.

    Raises:
        UserError: An array is missing, superfluous, of the wrong shape, or not of floats; a variance is negative.
    """
    checker = _ShapeChecker(len(spec.seeds), arrays)
    width = checker.body(spec.layers[:-1], spec.spaces.observation_size)
    head = spec.layers[-1]
    for field in ("mean", "log_std") if head["op"] == "tanh_gaussian_head" else ("mean",):
        if (out := checker.dense(head[field], width)) != (size := spec.spaces.action.size):
            raise UserError(f"the head's {head[field]!r} gives {out} numbers, expected the action's {size}")
    if unused := sorted(arrays.keys() - checker.used):
        raise UserError(f"array {unused[0]!r} belongs to no layer")


class _ShapeChecker:
    """Width of the activations and names of the arrays used so far."""

    def __init__(self, num_seeds: int, arrays: Mapping[str, np.ndarray]) -> None:
        self.used: set[str] = set()
        self._num_seeds = num_seeds
        self._arrays = arrays

    def body(self, layers: Sequence[dict[str, Any]], width: int) -> int:
        for layer in layers:
            match layer["op"]:
                case "batch_norm":
                    for part in ("mean", "var", "scale", "bias"):
                        self._take(f"{layer['name']}/{part}", (width,))
                    if np.any(self._arrays[f"{layer['name']}/var"] < 0):
                        raise UserError(f"array {layer['name'] + '/var'!r} contains a negative variance")
                case "layer_norm":
                    for part in ("scale", "bias"):
                        self._take(f"{layer['name']}/{part}", (width,))
                case "rms_norm":
                    self._take(f"{layer['name']}/scale", (width,))
                case "dense":
                    width = self.dense(layer["name"], width)
                case "residual":
                    if (inner := self.body(layer["layers"], width)) != width:
                        raise UserError(f"the layers of a 'residual' turn {width} numbers into {inner}")
        return width

    def dense(self, name: str, width: int) -> int:
        kernel = self._arrays.get(f"{name}/kernel")
        out = kernel.shape[-1] if kernel is not None and kernel.ndim else 1
        if out < 1:
            raise UserError(f"array {name + '/kernel'!r} has shape {kernel.shape if kernel is not None else ()}")
        self._take(f"{name}/kernel", (width, out))
        if f"{name}/bias" in self._arrays:
            self._take(f"{name}/bias", (out,))
        return out

    def _take(self, name: str, shape: tuple[int, ...]) -> None:
        expected = (self._num_seeds, *shape)
        array = self._arrays.get(name)
        if array is None:
            raise UserError(f"array {name!r} of shape {expected} is missing")
        if array.shape != expected or not np.issubdtype(array.dtype, np.floating):
            raise UserError(f"array {name!r} is {array.dtype} {array.shape}, expected floats of shape {expected}")
        self.used.add(name)


def finite_seeds(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return for each seed whether its arrays are finite in float32, [S]."""
    largest = np.finfo(np.float32).max  # False for NaN too
    return np.all([(np.abs(a) <= largest).reshape(len(a), -1).all(axis=1) for a in arrays.values()], axis=0)


def layer_widths(layers: Sequence[dict[str, Any]], arrays: Mapping[str, np.ndarray]) -> list[int]:
    """Return the number of outputs of every dense layer in order, given the arrays of one seed."""
    widths: list[int] = []
    for layer in layers:
        if layer["op"] == "dense":
            widths.append(arrays[f"{layer['name']}/kernel"].shape[1])
        elif layer["op"] == "residual":
            widths += layer_widths(layer["layers"], arrays)
    return widths


def build(layers: Sequence[dict[str, Any]], arrays: Mapping[str, np.ndarray]) -> Layer:
    """Return the layers as one function, given the float32 arrays of one seed."""
    steps = [_build_one(layer, arrays) for layer in layers]

    def run(x: np.ndarray) -> np.ndarray:
        for step in steps:
            x = step(x)
        return x

    return run


def build_dense(name: str, arrays: Mapping[str, np.ndarray]) -> Layer:
    """Return x @ kernel + bias, or x @ kernel without a bias."""
    kernel = np.ascontiguousarray(arrays[f"{name}/kernel"])
    bias = arrays.get(f"{name}/bias")
    if bias is None:
        return lambda x: x @ kernel
    return lambda x: x @ kernel + bias


def build_std(head: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Layer | None:
    """Return the standard deviation before the tanh as a function of the head's input; None without one."""
    if head["op"] != "tanh_gaussian_head":
        return None
    log_std, tanh = build_dense(head["log_std"], arrays), head["mapping"] == "tanh"
    low, high = np.float32(head["log_std_min"]), np.float32(head["log_std_max"])

    def std(x: np.ndarray) -> np.ndarray:
        raw = log_std(x)
        if tanh:
            return np.exp(low + np.float32(0.5) * (high - low) * (np.tanh(raw) + np.float32(1)))
        return np.exp(np.clip(raw, low, high))

    return std


def _build_one(layer: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Layer:
    match layer["op"]:
        case "batch_norm":
            return _build_batch_norm(layer["name"], layer["epsilon"], arrays)
        case "layer_norm":
            return _build_layer_norm(layer["name"], layer["epsilon"], arrays)
        case "rms_norm":
            scale, floor = arrays[f"{layer['name']}/scale"], np.float32(layer["epsilon"])
            return lambda x: x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + floor) * scale
        case "dense":
            return build_dense(layer["name"], arrays)
        case "relu":
            return lambda x: np.maximum(x, np.float32(0))
        case "residual":
            inner = build(layer["layers"], arrays)
            return lambda x: x + inner(x)
    raise AssertionError(f"op {layer['op']!r} passed validation but is not built")


def _build_batch_norm(name: str, epsilon: float, arrays: Mapping[str, np.ndarray]) -> Layer:
    mean, bias = arrays[f"{name}/mean"], arrays[f"{name}/bias"]
    deviation = np.sqrt(arrays[f"{name}/var"].astype(np.float64) + epsilon)
    with np.errstate(over="ignore"):  # an action of NaN is an error
        factor = (arrays[f"{name}/scale"] / deviation).astype(np.float32)
    # The mean is subtracted rather than folded into the bias, which would cancel for inputs far from zero that hardly
    # vary.
    return lambda x: (x - mean) * factor + bias


def _build_layer_norm(name: str, epsilon: float, arrays: Mapping[str, np.ndarray]) -> Layer:
    scale, bias, floor = arrays[f"{name}/scale"], arrays[f"{name}/bias"], np.float32(epsilon)

    def run(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + floor) * scale + bias

    return run
