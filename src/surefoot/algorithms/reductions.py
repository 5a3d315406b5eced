"""From the C critics of an ensemble to one value.

Each reduction takes what the critics say about a state and an action, ``outputs`` [C, B, K], and the values that these
stand for, ``q`` [C, B], and returns [B, K].
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
    """The lowest value (clipped double Q, arXiv 1802.09477). It compares numbers, so it needs K = 1.

    Attributes:
        needs_scalars: whether it takes values alone and no distributions.
    """

    needs_scalars: ClassVar[bool] = True

    def __call__(self, outputs: jax.Array, q: jax.Array, key: jax.Array) -> jax.Array:
        """Reduce."""
        return jnp.min(outputs, axis=0)


@dataclass(frozen=True)
class Mean:
    """The mean over the critics: of values, of quantiles, or of probabilities, which makes a mixture.

    Attributes:
        needs_scalars: whether it takes values alone and no distributions.
    """

    needs_scalars: ClassVar[bool] = False

    def __call__(self, outputs: jax.Array, q: jax.Array, key: jax.Array) -> jax.Array:
        """Reduce."""
        return jnp.mean(outputs, axis=0)


@dataclass(frozen=True)
class LowestMean:
    """The whole distribution of the critic whose value is lowest, for each sample of its own.

    Attributes:
        needs_scalars: whether it takes values alone and no distributions.
    """

    needs_scalars: ClassVar[bool] = False

    def __call__(self, outputs: jax.Array, q: jax.Array, key: jax.Array) -> jax.Array:
        """Reduce."""
        lowest = jnp.argmin(q, axis=0)
        return jnp.take_along_axis(outputs, lowest[None, :, None], axis=0)[0]


@dataclass(frozen=True)
class RandomSubsetMin:
    """The lowest value among a few critics drawn anew for every update (REDQ, arXiv 2101.05982). It needs K = 1.

    Attributes:
        size: critics drawn, without replacement.
        needs_scalars: whether it takes values alone and no distributions.
    """

    size: int = 2
    needs_scalars: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse an empty subset."""
        check_types(self)
        if self.size < 1:
            raise UserError(f"RandomSubsetMin size must be at least 1, got {self.size}")

    def __call__(self, outputs: jax.Array, q: jax.Array, key: jax.Array) -> jax.Array:
        """Reduce."""
        drawn = jax.random.choice(key, outputs.shape[0], (self.size,), replace=False)
        return jnp.min(outputs[drawn], axis=0)


@dataclass(frozen=True)
class First:
    """The first critic alone (what TD3's policy follows, arXiv 1802.09477).

    Attributes:
        needs_scalars: whether it takes values alone and no distributions.
    """

    needs_scalars: ClassVar[bool] = False

    def __call__(self, outputs: jax.Array, q: jax.Array, key: jax.Array) -> jax.Array:
        """Reduce."""
        return outputs[0]


type Reduction = Min | Mean | LowestMean | RandomSubsetMin | First
