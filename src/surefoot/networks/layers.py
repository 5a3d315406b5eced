"""A torso as a list of layers.

The list is the one description of a network: the Flax module applies it, a weight constraint reads from it which layers
it may hold, and a saved policy is written from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jax
from flax import linen as nn

from surefoot.networks.matmul import dot_general
from surefoot.networks.normalization import Norm, norm_module

type LayerPath = tuple[str, ...]
"""Where a layer stands in a parameter tree."""

type Init = Literal["orthogonal", "orthogonal-unit", "he", "lecun"]
"""How a dense layer's kernel starts: orthogonal with gain sqrt 2 or 1, He's or LeCun's normal. Biases start at zero."""

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
    """Zeros a share of the units, wherever the pass is given a key for it; elsewhere it does nothing."""

    name: str
    rate: float


@dataclass(frozen=True)
class Residual:
    """x + layers(x)."""

    layers: tuple[Layer, ...]


type Layer = Dense | Normalize | Relu | Dropout | Residual
"""One entry of a torso's list of layers."""


def dense(features: int, init: Init, name: str, bias: bool = True, product: Any = None) -> nn.Dense:
    """Return a dense layer as a Flax module; ``product`` multiplies in place of ``jax.lax.dot_general``."""
    return nn.Dense(features, use_bias=bias, kernel_init=_INITIALIZERS[init], name=name, dot_general=product)


class Torso(nn.Module):
    """[..., B, inputs] -> [..., B, features]: the layers, one after the other.

    Attributes:
        layers: in order.
    """

    layers: tuple[Layer, ...]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Apply them; ``train`` is for the normalisations, dropout follows the presence of a "dropout" key.

        Whoever makes the collection "activations" mutable finds the output of every activation there, as "after_" and
        the name of the dense layer before it, and the torso's own as "features".
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
                    x = dense(layer.features, layer.init, layer.name, layer.bias, dot_general)(x)
                case Normalize():
                    x = norm_module(layer.norm, layer.name, train)(x)
                case Relu():
                    x = nn.relu(x)
                    self.sow("activations", f"after_{last}", x)  # Flax keeps the layer's own name to the layer
                case Dropout():
                    x = nn.Dropout(layer.rate, deterministic=not self.has_rng("dropout"), name=layer.name)(x)
                case Residual():
                    x = x + self._apply(layer.layers, x, train)
        return x


def flat(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """Yield the layers with each residual block opened."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from flat(layer.layers)
        else:
            yield layer


def hidden_layers(layers: tuple[Layer, ...]) -> tuple[LayerPath, ...]:
    """Return the paths of the dense layers in the parameters of an actor or a critic."""
    return tuple(("torso", layer.name) for layer in flat(layers) if isinstance(layer, Dense))


def unnormalized_layer(layers: tuple[Layer, ...]) -> str | None:
    """Return the name of the first dense layer whose output reaches another layer or the end without normalisation.

    An activation and dropout may stand between. Such a layer's scale is part of the function it computes, so that it
    cannot be projected. A residual block passes its input on as it is, whatever it does to it inside.

    Args:
        layers: of a torso.
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
