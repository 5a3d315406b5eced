"""A policy as the few operations that a deployed one needs, batch normalisation folded into the dense layers.

    observation [B, O] -> layers -> tanh -> times half the bounds' span, plus their centre -> clipped [B, A]

Folding is done in float64 and rounded to float32 once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.policy import PolicySpec
from surefoot.policy.spec import bounds_inside

type Arrays = Mapping[str, np.ndarray]
"""One seed's arrays by the names that policy.json uses."""


@dataclass(frozen=True)
class Dense:
    """x @ kernel + bias, with kernel [in, out] and bias [out]."""

    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Affine:
    """x * scale + offset, both [width]: a batch normalisation that no dense layer stands next to."""

    scale: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class Centre:
    """x - mean, [width]."""

    mean: np.ndarray


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class LayerNorm:
    """(x - mean of x) / sqrt(variance of x + epsilon) * scale + bias, both [width]; the variance is the biased one."""

    scale: np.ndarray
    bias: np.ndarray
    epsilon: float


@dataclass(frozen=True)
class Residual:
    """x + layers(x)."""

    layers: tuple[Layer, ...]


type Layer = Dense | Affine | Centre | Relu | LayerNorm | Residual


@dataclass(frozen=True)
class Program:
    """One seed's deterministic policy; all arrays are float32.

    Attributes:
        layers: operations in order, from the observation [B, O] to what the tanh takes [B, A].
        low: lower action bounds [A] in the environment's own units.
        high: upper action bounds [A] in the environment's own units.
    """

    layers: tuple[Layer, ...]
    low: np.ndarray
    high: np.ndarray

    @property
    def half_span(self) -> np.ndarray:
        """Half the distance [A] between the bounds: what the tanh is multiplied by."""
        return (0.5 * (self.high.astype(np.float64) - self.low)).astype(np.float32)

    @property
    def centre(self) -> np.ndarray:
        """The middle [A] of the bounds: what is added after that."""
        return (0.5 * (self.high.astype(np.float64) + self.low)).astype(np.float32)


def make_program(spec: PolicySpec, arrays: Arrays, *, keep_input_mean: bool = False) -> Program:
    """Return the program of one seed.

    Args:
        spec: what the policy is.
        arrays: the seed's own arrays, without the seed axis, of a policy that has been validated.
        keep_input_mean: subtract the means of the observation before the first dense layer instead of folding them
            into its bias. Folded, an observation far from zero that hardly varies is a small difference of two large
            numbers, which float32 cannot hold.
    """
    head = spec.layers[-1]
    layers = [_from_spec(layer, arrays) for layer in (*spec.layers[:-1], {"op": "dense", "name": head["mean"]})]
    centre: tuple[Layer, ...] = ()
    if keep_input_mean and spec.layers[0]["op"] == "batch_norm":
        first = spec.layers[0]["name"]
        without_mean = {**arrays, f"{first}/mean": np.zeros_like(arrays[f"{first}/mean"])}
        layers[0] = _from_spec(spec.layers[0], without_mean)
        centre = (Centre(arrays[f"{first}/mean"]),)
    low, high = bounds_inside(spec.action_low, spec.action_high)
    return Program((*centre, *_to_float32(_fold(layers))), low, high)


def _from_spec(layer: Mapping[str, Any], arrays: Arrays) -> Layer:
    """Return one layer of policy.json in float64."""
    if layer["op"] == "relu":
        return Relu()
    if layer["op"] == "residual":
        return Residual(tuple(_from_spec(inner, arrays) for inner in layer["layers"]))
    own = {part: array.astype(np.float64) for part, array in _parts(layer["name"], arrays).items()}
    match layer["op"]:
        case "dense":
            return Dense(own["kernel"], own.get("bias", np.zeros(own["kernel"].shape[1])))
        case "batch_norm":
            scale = own["scale"] / np.sqrt(own["var"] + layer["epsilon"])
            return Affine(scale, own["bias"] - own["mean"] * scale)
        case "layer_norm":
            return LayerNorm(own["scale"], own["bias"], layer["epsilon"])
    raise AssertionError(f"op {layer['op']!r} passed validation but cannot be exported")


def _parts(name: str, arrays: Arrays) -> dict[str, np.ndarray]:
    parts = ("kernel", "bias", "scale", "mean", "var")
    return {part: arrays[f"{name}/{part}"] for part in parts if f"{name}/{part}" in arrays}


def _fold(layers: Sequence[Layer]) -> list[Layer]:
    """Merge every affine layer with the affine or dense layer before or after it, inside residuals too."""
    folded: list[Layer] = []
    for layer in layers:
        folded.append(Residual(tuple(_fold(layer.layers))) if isinstance(layer, Residual) else layer)
        while len(folded) > 1 and (merged := _merge(folded[-2], folded[-1])) is not None:
            folded[-2:] = [merged]
    return folded


def _merge(first: Layer, second: Layer) -> Layer | None:
    """Return one layer that does what two in a row do, or None where there is no such layer."""
    match first, second:
        case Affine(), Affine():
            return Affine(first.scale * second.scale, first.offset * second.scale + second.offset)
        case Affine(), Dense():
            return Dense(first.scale[:, None] * second.kernel, first.offset @ second.kernel + second.bias)
        case Dense(), Affine():
            return Dense(first.kernel * second.scale, first.bias * second.scale + second.offset)
    return None


def _to_float32(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    return tuple(_round(layer) for layer in layers)


def _round(layer: Layer) -> Layer:
    match layer:
        case Dense():
            return Dense(_float32(layer.kernel), _float32(layer.bias))
        case Affine():
            return Affine(_float32(layer.scale), _float32(layer.offset))
        case LayerNorm():
            return LayerNorm(_float32(layer.scale), _float32(layer.bias), layer.epsilon)
        case Residual():
            return Residual(_to_float32(layer.layers))
    return layer


def _float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # becomes infinite, which the check against the trained actor refuses
        return np.ascontiguousarray(array, dtype=np.float32)
