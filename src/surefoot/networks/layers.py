"""Torsos as lists of layers.

The list is the single description of a network: the Flax module applies it, weight constraints select layers from it,
and a saved policy is written from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jax
from flax import linen as nn

from surefoot.networks.dropout import MaskedDropout
from surefoot.networks.matmul import dot_general, float32_dot_general, head_dot_general
from surefoot.networks.normalization import Norm, norm_module

type LayerPath = tuple[str, ...]
"""Path of a layer in a parameter tree."""

type Init = Literal["orthogonal", "orthogonal-unit", "he", "lecun"]
"""Initial kernel of a dense layer: orthogonal with gain sqrt 2 or 1, He or LeCun normal. Biases are zero."""

_INITIALIZERS = {
    "orthogonal": nn.initializers.orthogonal(math.sqrt(2.0)),
    "orthogonal-unit": nn.initializers.orthogonal(1.0),
    "he": nn.initializers.he_normal(),
    "lecun": nn.initializers.lecun_normal(),
}


@dataclass(frozen=True)
class Dense:
    """x @ kernel + bias."""

    name: str
    features: int
    init: Init = "orthogonal"
    bias: bool = True


@dataclass(frozen=True)
class Normalize:
    """A normalisation."""

    name: str
    norm: Norm


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Dropout:
    """Dropout with the given rate in passes that are given a key for it; the identity elsewhere."""

    name: str
    rate: float


@dataclass(frozen=True)
class Residual:
    """x + layers(x)."""

    layers: tuple[Layer, ...]


type Layer = Dense | Normalize | Relu | Dropout | Residual
"""One entry of a torso's list of layers."""


def dense(features: int, init: Init, name: str, bias: bool = True, product: Any = head_dot_general) -> nn.Dense:
    """Return a dense layer as a Flax module; ``product`` replaces ``jax.lax.dot_general``."""
    return nn.Dense(features, use_bias=bias, kernel_init=_INITIALIZERS[init], name=name, dot_general=product)


class Torso(nn.Module):
    """A stack of layers: [..., B, inputs] -> [..., B, features].

    Attributes:
        layers: Layers in order.
    """

    layers: tuple[Layer, ...]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Apply the layers; ``train`` is for normalisation, dropout depends on the presence of a "dropout" key.

        If the collection "activations" is mutable, it receives the output of every activation, as "after_" and the name
        of the dense layer before it, and the torso's output as "features".
        """
        x = self._apply(self.layers, x, train)
        self.sow("activations", "features", x)
        return x

    def _apply(self, layers: tuple[Layer, ...], x: jax.Array, train: bool) -> jax.Array:
        last = ""
        for layer in layers:
            match layer:
                case Dense():
                    last = layer.name
                    # The first layer's inputs may be raw observations, unless a normalisation precedes it.
                    product = float32_dot_general if layer == self.layers[0] else dot_general
                    x = dense(layer.features, layer.init, layer.name, layer.bias, product)(x)
                case Normalize():
                    x = norm_module(layer.norm, layer.name, train)(x)
                case Relu():
                    x = nn.relu(x)
                    self.sow("activations", f"after_{last}", x)  # Flax reserves the layer's own name
                case Dropout():
                    x = MaskedDropout(layer.rate, name=layer.name)(x)
                case Residual():
                    x = x + self._apply(layer.layers, x, train)
        return x


def flat(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """Yield the layers, those inside residual blocks included."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from flat(layer.layers)
        else:
            yield layer


def hidden_layers(layers: tuple[Layer, ...]) -> tuple[LayerPath, ...]:
    """Return the paths of the dense layers in the parameters of an actor or a critic."""
    return tuple(("torso", layer.name) for layer in flat(layers) if isinstance(layer, Dense))


def norm_layers(layers: tuple[Layer, ...]) -> tuple[LayerPath, ...]:
    """Return the paths of the normalisations in the parameters of an actor or a critic.

    Args:
        layers: Layers of a torso.
    """
    return tuple(("torso", layer.name) for layer in flat(layers) if isinstance(layer, Normalize))


def unnormalized_layer(layers: tuple[Layer, ...]) -> str | None:
    """Return the name of the first dense layer whose output reaches another layer or the end without normalisation.

    Activations and dropout may lie in between. The scale of such a layer's weights changes the network's function, so
    it cannot be projected. A residual block also passes its input on unchanged.

    Args:
        layers: Layers of a torso.
    """
    pending: str | None = None
    for layer in layers:
        match layer:
            case Dense() | Residual() if pending is not None:
                return pending
            case Dense():
                pending = layer.name
            case Normalize():
                pending = None
            case Residual():
                if (inner := unnormalized_layer(layer.layers)) is not None:
                    return inner
    return pending
