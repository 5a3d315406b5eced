"""Layers of a deployed policy, with batch normalisation folded into the dense layers.

Folding is computed in float64; the ONNX writer rounds the result to float32 once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.policy import PolicySpec

type Arrays = Mapping[str, np.ndarray]
"""One seed's arrays by their names in policy.json."""


@dataclass(frozen=True)
class Centre:
    """x - mean, [width]."""

    mean: np.ndarray


@dataclass(frozen=True)
class Affine:
    """x * scale + offset, both [width]: a batch normalisation without an adjacent dense layer."""

    scale: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class Dense:
    """x @ kernel + bias, with kernel [in, out] and bias [out]."""

    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class LayerNorm:
    """(x - mean(x)) / sqrt(var(x) + epsilon) * scale + bias, both [width]; the variance is the biased one."""

    scale: np.ndarray
    bias: np.ndarray
    epsilon: float


@dataclass(frozen=True)
class RMSNorm:
    """x / sqrt(mean(x^2) + epsilon) * scale, [width]."""

    scale: np.ndarray
    epsilon: float


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Residual:
    """x + layers(x)."""

    layers: tuple[Layer, ...]


type Layer = Centre | Affine | Dense | LayerNorm | RMSNorm | Relu | Residual


def folded_layers(spec: PolicySpec, arrays: Arrays) -> list[Layer]:
    """Return one seed's layers from the observation [B, O] to the input of the tanh [B, A], in float64.

    Args:
        spec: The policy's description.
        arrays: The seed's arrays, without the seed axis, already validated against `spec`.
    """
    body, head = list(spec.layers[:-1]), spec.layers[-1]
    # The observation's mean is subtracted rather than folded into a bias: an observation far from zero that hardly
    # varies would become a small difference of two large numbers, which float32 cannot represent.
    centre: list[Layer] = []
    if body and body[0]["op"] == "batch_norm":
        mean = f"{body[0]['name']}/mean"
        centre = [Centre(arrays[mean])]
        arrays = {**arrays, mean: np.zeros_like(arrays[mean])}
    return [*centre, *_fold([_layer(layer, arrays) for layer in (*body, {"op": "dense", "name": head["mean"]})])]


def _layer(layer: Mapping[str, Any], arrays: Arrays) -> Layer:
    """Return one layer of policy.json in float64."""

    def array(part: str) -> np.ndarray:
        return arrays[f"{layer['name']}/{part}"].astype(np.float64)

    match layer["op"]:
        case "relu":
            return Relu()
        case "residual":
            return Residual(tuple(_fold([_layer(inner, arrays) for inner in layer["layers"]])))
        case "dense":
            kernel = array("kernel")
            return Dense(kernel, array("bias") if f"{layer['name']}/bias" in arrays else np.zeros(kernel.shape[1]))
        case "batch_norm":
            scale = array("scale") / np.sqrt(array("var") + layer["epsilon"])
            return Affine(scale, array("bias") - array("mean") * scale)
        case "layer_norm":
            return LayerNorm(array("scale"), array("bias"), layer["epsilon"])
        case "rms_norm":
            return RMSNorm(array("scale"), layer["epsilon"])
    raise AssertionError(f"op {layer['op']!r} passed validation but cannot be exported")


def _fold(layers: Sequence[Layer]) -> list[Layer]:
    """Merge every affine layer with an adjacent affine or dense layer."""
    folded: list[Layer] = []
    for layer in layers:
        folded.append(layer)
        while len(folded) > 1 and (merged := _merge(folded[-2], folded[-1])) is not None:
            folded[-2:] = [merged]
    return folded


def _merge(first: Layer, second: Layer) -> Layer | None:
    """Return the single layer that equals two consecutive ones, or None where there is none."""
    match first, second:
        case Affine(), Affine():
            return Affine(first.scale * second.scale, first.offset * second.scale + second.offset)
        case Affine(), Dense():
            return Dense(first.scale[:, None] * second.kernel, first.offset @ second.kernel + second.bias)
        case Dense(), Affine():
            return Dense(first.kernel * second.scale, first.bias * second.scale + second.offset)
    return None
