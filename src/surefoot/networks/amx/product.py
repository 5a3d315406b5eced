"""The product as JAX knows it."""

from __future__ import annotations

import jax
import numpy as np

from surefoot.networks.amx.library import load


def product(left: jax.Array, right: jax.Array, over_left: int, over_right: int) -> jax.Array:
    """Multiply two float32 matrices, as accurately as XLA does; mapped over with ``vmap``, one call makes all products.

    Args:
        left: [N, K], or [K, N].
        right: [K, M], or [M, K].
        over_left: the axis of left that the sums go over.
        over_right: likewise.

    Returns:
        [N, M] in float32.

    Raises:
        UserError: the machine lacks what it takes.
    """
    kind = jax.ShapeDtypeStruct((left.shape[1 - over_left], right.shape[1 - over_right]), np.float32)
    call = jax.ffi.ffi_call(load(), kind, vmap_method="expand_dims")
    return call(left, right, over_left=np.int64(over_left), over_right=np.int64(over_right))
