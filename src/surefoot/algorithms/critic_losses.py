"""What the critics' outputs mean, what they regress on, and how far they are from it.

A critic describes the value of a state and an action by K numbers. Each loss says how many (``num_outputs``), which
value they stand for (``value``), what they say in a form that ensembles can be reduced in (``describe``), which target
a reward and a discounted next description make (``target``), and the distance (``loss``).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from surefoot.algorithms.parts import check_finite
from surefoot.errors import UserError
from surefoot.networks.validation import check_types


@dataclass(frozen=True)
class SquaredError:
    """scale x (Q - y)^2, mean over the batch, summed over the critics.

    Attributes:
        scale: 0.5 in CrossQ's family, 1 in SAC's usual code. Adam divides a gradient by its own magnitude and nearly
            cancels this factor, so it scales the loss that is logged and hardly the training; the learning rate is the
            knob for that.
    """

    scale: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a loss that is not one."""
        check_types(self)
        check_finite("SquaredError scale", self.scale, above=0.0)

    @property
    def num_outputs(self) -> int:
        """K."""
        return 1

    def value(self, outputs: jax.Array) -> jax.Array:
        """Return Q [...] for outputs [..., K]."""
        return outputs[..., 0]

    def describe(self, outputs: jax.Array) -> jax.Array:
        """Return the outputs [..., K] themselves."""
        return outputs

    def target(self, reward: jax.Array, discount: jax.Array, description: jax.Array, bonus: jax.Array) -> jax.Array:
        """Return y = r + discount (Q' + bonus), [B, K], for reward, discount, bonus [B] and description [B, K]."""
        return reward[:, None] + discount[:, None] * (description + bonus[:, None])

    def loss(self, outputs: jax.Array, target: jax.Array) -> jax.Array:
        """Return the loss [] of outputs [C, B, K] against a constant target [B, K]."""
        return self.scale * jnp.sum(jnp.mean(jnp.square(outputs - target[None])[..., 0], axis=-1))

    def target_value(self, target: jax.Array) -> jax.Array:
        """Return the value [B] that a target [B, K] stands for."""
        return target[..., 0]

    def disagreement(self, outputs: jax.Array) -> jax.Array:
        """Return how far the critics are apart, [B]: the mean distance from their mean."""
        return _spread(self.value(outputs))


@dataclass(frozen=True)
class QuantileHuber:
    """Quantile regression with a Huber loss (arXiv 1710.10044), at the midpoints of K equal shares.

    For each critic: summed over its quantiles, mean over the target's quantiles and the batch. Then summed over the
    critics.

    Attributes:
        num_quantiles: K.
        kappa: error at which the Huber loss turns linear, in units of the return.
    """

    num_quantiles: int = 100
    kappa: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an empty distribution."""
        check_types(self)
        if self.num_quantiles < 1:
            raise UserError(f"QuantileHuber num_quantiles must be at least 1, got {self.num_quantiles}")
        check_finite("QuantileHuber kappa", self.kappa, above=0.0)

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.num_quantiles

    def value(self, outputs: jax.Array) -> jax.Array:
        """Return Q [...], the mean of the quantiles [..., K]."""
        return jnp.mean(outputs, axis=-1)

    def describe(self, outputs: jax.Array) -> jax.Array:
        """Return the quantiles [..., K]."""
        return outputs

    def target(self, reward: jax.Array, discount: jax.Array, description: jax.Array, bonus: jax.Array) -> jax.Array:
        """Return the quantiles of r + discount (Z' + bonus), [B, K]."""
        return reward[:, None] + discount[:, None] * (description + bonus[:, None])

    def loss(self, outputs: jax.Array, target: jax.Array) -> jax.Array:
        """Return the loss [] of quantiles [C, B, K] against constant quantiles [B, K]."""
        levels = (jnp.arange(self.num_quantiles) + 0.5) / self.num_quantiles
        error = target[None, :, None, :] - outputs[..., None]  # [C, B, K, K']
        size = jnp.abs(error)
        huber = jnp.where(size <= self.kappa, 0.5 * jnp.square(error), self.kappa * (size - 0.5 * self.kappa))
        weight = jnp.abs(levels[None, None, :, None] - (error < 0.0))
        return jnp.sum(jnp.mean(jnp.sum(weight * huber / self.kappa, axis=2), axis=(1, 2)))

    def target_value(self, target: jax.Array) -> jax.Array:
        """Return the value [B] that a target [B, K] stands for."""
        return self.value(target)

    def disagreement(self, outputs: jax.Array) -> jax.Array:
        """Return how far the critics are apart, [B]: quantile by quantile, then the mean (BRO's code)."""
        return jnp.mean(_spread(outputs), axis=-1)


@dataclass(frozen=True)
class CategoricalCrossEntropy:
    """A distribution over fixed atoms (C51, arXiv 1707.06887), learned by cross-entropy.

    The target distribution is moved by reward, discount and bonus and projected back onto the atoms. Mean over the
    batch, summed over the critics.

    Attributes:
        num_atoms: K.
        low: the lowest value an atom stands for, in the unit of the rewards that the learner sees.
        high: the highest.
    """

    num_atoms: int = 101
    low: float = -5.0
    high: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a support without width."""
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
        """The values [K] that the probabilities belong to."""
        return jnp.linspace(self.low, self.high, self.num_atoms)

    def value(self, outputs: jax.Array) -> jax.Array:
        """Return Q [...], the expectation under logits [..., K]."""
        return jax.nn.softmax(outputs) @ self.atoms

    def describe(self, outputs: jax.Array) -> jax.Array:
        """Return the probabilities [..., K] of logits [..., K]."""
        return jax.nn.softmax(outputs)

    def target(self, reward: jax.Array, discount: jax.Array, description: jax.Array, bonus: jax.Array) -> jax.Array:
        """Return the probabilities [B, K] of r + discount (Z' + bonus), projected onto the atoms."""
        moved = reward[:, None] + discount[:, None] * (self.atoms[None] + bonus[:, None])
        step = (self.high - self.low) / (self.num_atoms - 1)
        position = (jnp.clip(moved, self.low, self.high) - self.low) / step  # [B, K'] in atoms
        # Each moved atom shares its probability between its two neighbours: a hat function of the distance.
        shares = jnp.clip(1.0 - jnp.abs(position[:, :, None] - jnp.arange(self.num_atoms)[None, None]), 0.0, 1.0)
        return jnp.einsum("bj,bjk->bk", description, shares)

    def loss(self, outputs: jax.Array, target: jax.Array) -> jax.Array:
        """Return the cross-entropy [] of logits [C, B, K] against constant probabilities [B, K]."""
        return -jnp.sum(jnp.mean(jnp.sum(target[None] * jax.nn.log_softmax(outputs), axis=-1), axis=-1))

    def target_value(self, target: jax.Array) -> jax.Array:
        """Return the value [B] that target probabilities [B, K] stand for."""
        return target @ self.atoms

    def disagreement(self, outputs: jax.Array) -> jax.Array:
        """Return how far the critics are apart, [B]: the mean distance of their values from the mean."""
        return _spread(self.value(outputs))


type CriticLoss = SquaredError | QuantileHuber | CategoricalCrossEntropy


def _spread(values: jax.Array) -> jax.Array:
    """Return the mean distance from the mean over the leading axis; for two, half of what lies between them."""
    return jnp.mean(jnp.abs(values - jnp.mean(values, axis=0, keepdims=True)), axis=0)
