"""How far the critics are from their target."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def squared_error(q: jax.Array, target: jax.Array, scale: float) -> jax.Array:
    """Return scale x (Q - y)^2, mean over the batch, summed over the critics.

    Args:
        q: [C, B].
        target: [B], a constant.
        scale: 0.5 in CrossQ's family.
    """
    return scale * jnp.sum(jnp.mean(jnp.square(q - target[None, :]), axis=-1))
