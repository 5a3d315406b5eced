"""Multilayer perceptrons: an input normalisation, hidden layers, and the heads of actor and critic.

With batch normalisation this is the network of CrossQ (arXiv 2502.07523, section 2 and appendix):

    BN(input) -> [Dense -> ReLU -> BN] x len(widths) -> head

and without it the plain perceptron of SAC. All layers start orthogonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from surefoot.errors import UserError
from surefoot.networks.validation import check_types

type LayerPath = tuple[str, ...]
"""Where a layer stands in a parameter tree."""


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation of the input and after every hidden activation.

    Attributes:
        momentum: running = momentum * running + (1 - momentum) * batch, with the biased variance (Flax's convention,
            the opposite of PyTorch's).
        epsilon: added to the variance; between 1e-30 and 1e30, as in a policy file.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse values that normalise nothing."""
        check_types(self)
        if not 0.0 <= self.momentum < 1.0:
            raise UserError(f"BatchNorm momentum must be in [0, 1), got {self.momentum}")
        if not 1e-30 <= self.epsilon <= 1e30:
            raise UserError(f"BatchNorm epsilon must be between 1e-30 and 1e30, got {self.epsilon}")


@dataclass(frozen=True)
class MLP:
    """The shape of a network's torso.

    Attributes:
        widths: units of each hidden layer; a list becomes a tuple.
        norm: batch normalisation, or None for a plain perceptron.
    """

    widths: tuple[int, ...]
    norm: BatchNorm | None = None

    def __post_init__(self) -> None:
        """Refuse an empty or impossible torso."""
        check_types(self)
        if not self.widths or min(self.widths) < 1:
            raise UserError(f"MLP widths must be one or more positive integers, got {self.widths}")

    @property
    def hidden_layers(self) -> tuple[LayerPath, ...]:
        """Paths of the hidden dense layers in an actor's or a critic's parameters."""
        return tuple(("torso", f"dense_{i}") for i in range(len(self.widths)))


def _dense(features: int, gain: float, name: str) -> nn.Dense:
    return nn.Dense(features, kernel_init=nn.initializers.orthogonal(gain), name=name)


class Torso(nn.Module):
    """[..., B, inputs] -> [..., B, widths[-1]]."""

    config: MLP

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Apply the hidden layers; ``train`` normalises with the batch's statistics and updates the running ones."""
        x = self._norm(x, train, "input_norm")
        for i, width in enumerate(self.config.widths):
            x = nn.relu(_dense(width, math.sqrt(2.0), f"dense_{i}")(x))
            x = self._norm(x, train, f"norm_{i}")
        return x

    def _norm(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        if (norm := self.config.norm) is None:
            return x
        layer = nn.BatchNorm(not train, momentum=norm.momentum, epsilon=norm.epsilon, name=name)
        return layer(x)


class Critic(nn.Module):
    """One state-action value: ([B, O], [B, A]) -> [B].

    Attributes:
        config: the hidden layers.
    """

    config: MLP

    @nn.compact
    def __call__(self, observation: jax.Array, action: jax.Array, train: bool) -> jax.Array:
        """Return Q(observation, action)."""
        x = Torso(self.config, name="torso")(jnp.concatenate([observation, action], axis=-1), train)
        return _dense(1, math.sqrt(2.0), "head")(x).squeeze(-1)


def critic_ensemble(config: MLP, num_critics: int) -> nn.Module:
    """Return C independent critics as one module: ([B, O], [B, A]) -> [C, B]; every parameter has a leading axis C.

    Args:
        config: the hidden layers of each.
        num_critics: C.
    """
    ensemble = nn.vmap(
        Critic,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True},
        in_axes=(None, None, None),
        out_axes=0,
        axis_size=num_critics,
        # The ensemble adds no level of its own to the parameter tree.
        metadata_params={},
    )
    return ensemble(config)


@dataclass(frozen=True)
class LogStdRange:
    """How the log-standard-deviation head is kept in bounds.

    Attributes:
        low: smallest log standard deviation of the Gaussian before the tanh; at least -50, as in a policy file.
        high: largest; at most 50.
        mapping: "clip" cuts at the bounds (CrossQ's family); "tanh" squashes into them (BRO, SR-SAC, SimBa).
    """

    low: float = -10.0
    high: float = 2.0
    mapping: Literal["clip", "tanh"] = "clip"

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        check_types(self)
        if not -50.0 <= self.low < self.high <= 50.0:
            raise UserError(f"LogStdRange needs -50 <= low < high <= 50, got low={self.low}, high={self.high}")

    def __call__(self, raw: jax.Array) -> jax.Array:
        """Map the head's raw output into the range."""
        if self.mapping == "clip":
            return jnp.clip(raw, self.low, self.high)
        return self.low + 0.5 * (self.high - self.low) * (jnp.tanh(raw) + 1.0)


class Actor(nn.Module):
    """A tanh-Gaussian policy's parameters: [B, O] -> mean [B, A], log standard deviation [B, A], before the tanh.

    Attributes:
        config: the hidden layers.
        log_std: the bounds of the log standard deviation.
        action_size: A.
    """

    config: MLP
    log_std: LogStdRange
    action_size: int

    @nn.compact
    def __call__(self, observation: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Return the Gaussian's mean and log standard deviation."""
        x = Torso(self.config, name="torso")(observation, train)
        mean = _dense(self.action_size, math.sqrt(2.0), "mean")(x)
        log_std = _dense(self.action_size, 1.0, "log_std")(x)
        return mean, self.log_std(log_std)
