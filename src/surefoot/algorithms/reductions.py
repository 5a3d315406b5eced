"""Reductions of an ensemble of C critics to one value.

A reduction returns the weight of each critic, [C, B], given their values [C, B]. The reduced value is the weighted sum;
of distributions it is the mixture with these weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from surefoot.errors import UserError
from surefoot.networks.validation import check_types


@dataclass(frozen=True)
class Min:
    """The minimum over the critics (clipped double Q, arXiv 1802.09477); as a target for scalar critics only.

    Attributes:
        needs_scalars: Whether distributional critics are rejected.
    """

    needs_scalars: ClassVar[bool] = True

    def __call__(self, q: jax.Array, key: jax.Array) -> jax.Array:
        """Return the weights [C, B] of critics with values q [C, B]."""
        return _one_hot(jnp.argmin(q, axis=0), q)


@dataclass(frozen=True)
class Mean:
    """The mean over the critics: of values, of quantiles, or of probabilities, which makes a mixture.

    Attributes:
        needs_scalars: Whether distributional critics are rejected.
    """

    needs_scalars: ClassVar[bool] = False

    def __call__(self, q: jax.Array, key: jax.Array) -> jax.Array:
        """Return the weights [C, B] of critics with values q [C, B]."""
        return jnp.full_like(q, 1.0 / q.shape[0])


@dataclass(frozen=True)
class LowestMean(Min):
    """The whole distribution of the critic whose value is lowest, per sample.

    Attributes:
        needs_scalars: Whether distributional critics are rejected.
    """

    needs_scalars: ClassVar[bool] = False


@dataclass(frozen=True)
class RandomSubsetMin:
    """The minimum over a random subset of the critics, redrawn at each update (REDQ, arXiv 2101.05982).

    Attributes:
        size: Critics in the subset, drawn without replacement.
        needs_scalars: Whether distributional critics are rejected.
    """

    size: int = 2
    needs_scalars: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Validate the size."""
        check_types(self)
        if self.size < 1:
            raise UserError(f"RandomSubsetMin size must be at least 1, got {self.size}")

    def __call__(self, q: jax.Array, key: jax.Array) -> jax.Array:
        """Return the weights [C, B] of critics with values q [C, B]."""
        subset = jax.random.choice(key, q.shape[0], (self.size,), replace=False)
        return _one_hot(subset[jnp.argmin(q[subset], axis=0)], q)


@dataclass(frozen=True)
class First:
    """The first critic alone (TD3's policy, arXiv 1802.09477).

    Attributes:
        needs_scalars: Whether distributional critics are rejected.
    """

    needs_scalars: ClassVar[bool] = False

    def __call__(self, q: jax.Array, key: jax.Array) -> jax.Array:
        """Return the weights [C, B] of critics with values q [C, B]."""
        return _one_hot(jnp.zeros(q.shape[1], int), q)


type Reduction = Min | Mean | LowestMean | RandomSubsetMin | First


def _one_hot(critic: jax.Array, q: jax.Array) -> jax.Array:
    """Return weights [C, B], like q, that are 1 at the critic [B] of each sample and 0 elsewhere."""
    return jax.nn.one_hot(critic, q.shape[0], dtype=q.dtype, axis=0)
