"""Critic losses: the meaning of a critic's K outputs, and the loss that trains them.

Shapes: C critics, B batch, K outputs per critic. Every loss describes a value by K numbers that the Bellman target can
move: ``mixture`` returns them, ``target`` turns the moved ones into a regression target.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from surefoot.algorithms.parts import check_finite
from surefoot.errors import UserError
from surefoot.networks.validation import check_types

_UNROLL = 10
"""Quantiles of the target that one step of a loop handles."""


class _EquallyWeighted:
    """Critics whose K outputs are equally likely values: one number, or quantiles."""

    def value(self, outputs: jax.Array) -> jax.Array:
        """Return Q [...], the mean of the outputs [..., K]."""
        return jnp.mean(outputs, axis=-1)

    def mixture(self, outputs: jax.Array, weights: jax.Array) -> tuple[jax.Array, None]:
        """Return the critics' outputs [B, K], mixed by weights [C, B], and no probabilities."""
        return jnp.sum(weights[..., None] * outputs, axis=0), None

    def target(self, values: jax.Array, probabilities: jax.Array | None) -> jax.Array:
        """Return the target [B, K] for values [B, K]: these values."""
        return values

    def target_value(self, target: jax.Array) -> jax.Array:
        """Return the value [B] of a target [B, K]."""
        return self.value(target)

    def disagreement(self, outputs: jax.Array) -> jax.Array:
        """Return the critics' mean distance from their mean, [B], averaged over the K outputs (BRO's code)."""
        return jnp.mean(_mean_deviation(outputs), axis=-1)


@dataclass(frozen=True)
class SquaredError(_EquallyWeighted):
    """scale x (Q - y)^2, averaged over the batch and summed over the critics; K = 1.

    Attributes:
        scale: 0.5 in CrossQ's family, 1 in most SAC code. Adam normalises the gradient and nearly cancels this factor,
            so it changes the logged loss and hardly the training.
    """

    scale: float = 0.5

    def __post_init__(self) -> None:
        """Validate the scale."""
        check_types(self)
        check_finite("SquaredError scale", self.scale, above=0.0)

    @property
    def num_outputs(self) -> int:
        """K."""
        return 1

    def loss(self, outputs: jax.Array, target: jax.Array) -> jax.Array:
        """Return the loss [] of outputs [C, B, 1] against a constant target [B, 1]."""
        return self.scale * jnp.sum(jnp.mean(jnp.square(outputs - target[None])[..., 0], axis=-1))


@dataclass(frozen=True)
class QuantileHuber(_EquallyWeighted):
    """Quantile regression with a Huber loss (arXiv 1710.10044), at the midpoints of K equal intervals.

    Per critic: summed over its quantiles, averaged over the target's quantiles and the batch. Summed over the critics.

    Attributes:
        num_quantiles: K.
        kappa: Error at which the Huber loss becomes linear, in units of the return.
    """

    num_quantiles: int = 100
    kappa: float = 1.0

    def __post_init__(self) -> None:
        """Validate the number of quantiles and kappa."""
        check_types(self)
        if self.num_quantiles < 1:
            raise UserError(f"QuantileHuber num_quantiles must be at least 1, got {self.num_quantiles}")
        check_finite("QuantileHuber kappa", self.kappa, above=0.0)

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.num_quantiles

    def loss(self, outputs: jax.Array, target: jax.Array) -> jax.Array:
        """Return the loss [] of quantiles [C, B, K] against constant quantiles [B, K]."""
        losses = _quantile_huber(outputs, target, self.kappa)
        return jnp.sum(jnp.mean(jnp.sum(losses, axis=2), axis=1)) / (self.kappa * target.shape[1])


@dataclass(frozen=True)
class CategoricalCrossEntropy:
    """A distribution over K fixed atoms (C51, arXiv 1707.06887), trained by cross-entropy.

    The moved target distribution is projected back onto the atoms. Averaged over the batch.

    Attributes:
        num_atoms: K.
        low: Lowest atom, in units of the return (after reward scaling).
        high: Highest atom.
        over_critics: Whether the critics' losses are summed or averaged.
    """

    num_atoms: int = 101
    low: float = -5.0
    high: float = 5.0
    over_critics: Literal["sum", "mean"] = "sum"

    def __post_init__(self) -> None:
        """Validate the support."""
        check_types(self)
        check_finite("CategoricalCrossEntropy low", self.low)
        check_finite("CategoricalCrossEntropy high", self.high, above=self.low)
        if self.num_atoms < 2:
            raise UserError(f"CategoricalCrossEntropy num_atoms must be at least 2, got {self.num_atoms}")

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.num_atoms

    @property
    def atoms(self) -> jax.Array:
        """Values [K] of the atoms."""
        return jnp.linspace(self.low, self.high, self.num_atoms)

    def value(self, outputs: jax.Array) -> jax.Array:
        """Return Q [...], the expectation under logits [..., K]."""
        return jax.nn.softmax(outputs) @ self.atoms

    def mixture(self, outputs: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the atoms [1, K] and the probabilities [B, K] of the critics' mixture, by weights [C, B]."""
        return self.atoms[None], jnp.sum(weights[..., None] * jax.nn.softmax(outputs), axis=0)

    def target(self, values: jax.Array, probabilities: jax.Array | None) -> jax.Array:
        """Return the probabilities [B, K] on the atoms of a distribution over other values [B, K]."""
        assert probabilities is not None
        step = (self.high - self.low) / (self.num_atoms - 1)
        position = (jnp.clip(values, self.low, self.high) - self.low) / step  # [B, K'] in atoms
        # Each value shares its probability between its two neighbouring atoms: a hat function of the distance.
        shares = jnp.clip(1.0 - jnp.abs(position[:, :, None] - jnp.arange(self.num_atoms)[None, None]), 0.0, 1.0)
        return jnp.einsum("bj,bjk->bk", probabilities, shares)

    def loss(self, outputs: jax.Array, target: jax.Array) -> jax.Array:
        """Return the cross-entropy [] of logits [C, B, K] against constant probabilities [B, K]."""
        losses = -jnp.mean(jnp.sum(target[None] * jax.nn.log_softmax(outputs), axis=-1), axis=-1)
        return jnp.sum(losses) if self.over_critics == "sum" else jnp.mean(losses)

    def target_value(self, target: jax.Array) -> jax.Array:
        """Return the value [B] of target probabilities [B, K]."""
        return target @ self.atoms

    def disagreement(self, outputs: jax.Array) -> jax.Array:
        """Return the mean distance of the critics' values from their mean, [B]."""
        return _mean_deviation(self.value(outputs))


type CriticLoss = SquaredError | QuantileHuber | CategoricalCrossEntropy


# The loss and its derivative come from one pass over all pairs of quantiles, without an array of them.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _quantile_huber(outputs: jax.Array, target: jax.Array, kappa: float) -> jax.Array:
    """Return the sums over the target's quantiles [B, K'], a constant, for each quantile [C, B, K]."""
    return _pair_sums(outputs, target, kappa)[0]


def _quantile_huber_forward(outputs: jax.Array, target: jax.Array, kappa: float) -> tuple[jax.Array, jax.Array]:
    return _pair_sums(outputs, target, kappa)


def _quantile_huber_backward(kappa: float, slopes: jax.Array, gradient: jax.Array) -> tuple[jax.Array, None]:
    return -slopes * gradient, None


_quantile_huber.defvjp(_quantile_huber_forward, _quantile_huber_backward)


def _pair_sums(outputs: jax.Array, target: jax.Array, kappa: float) -> tuple[jax.Array, jax.Array]:
    """Return the sums over the target's quantiles of the losses and of their derivatives by the error, [C, B, K]."""
    num_quantiles = outputs.shape[-1]
    levels = (jnp.arange(num_quantiles) + 0.5) / num_quantiles

    def add(sums: tuple[jax.Array, jax.Array], values: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        error = values[None, :, None] - outputs
        clipped = jnp.clip(error, -kappa, kappa)
        slope = jnp.abs(levels[None, None] - (error < 0.0)) * clipped
        return (sums[0] + slope * (error - 0.5 * clipped), sums[1] + slope), None

    zeros = jnp.zeros_like(outputs)
    return jax.lax.scan(add, (zeros, zeros), target.T, unroll=_UNROLL)[0]


def _mean_deviation(values: jax.Array) -> jax.Array:
    """Return the mean distance from the mean over the leading axis; for two, half their distance."""
    return jnp.mean(jnp.abs(values - jnp.mean(values, axis=0, keepdims=True)), axis=0)
