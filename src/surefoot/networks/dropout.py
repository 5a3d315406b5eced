"""Dropout with masks drawn by one fused operation.

The masks are those of ``jax.random.bernoulli``. On a CPU, JAX computes its random bits in a loop of five steps, each of
which passes over the whole array; unrolled, they are computed in one pass, together with the comparison.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
"""Of Threefry-2x32 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011)."""


class MaskedDropout(nn.Module):
    """Dropout in passes that are given a "dropout" key, the identity elsewhere: [...] -> [...].

    Attributes:
        rate: Share of the entries set to zero, in (0, 1); the others are divided by 1 - rate.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the mask."""
        if not self.has_rng("dropout"):
            return x
        kept = 1.0 - self.rate
        return jnp.where(bernoulli(self.make_rng("dropout"), kept, x.shape), x / kept, 0.0)


def bernoulli(key: jax.Array, probability: float, shape: tuple[int, ...]) -> jax.Array:
    """Return ``jax.random.bernoulli(key, probability, shape)``, bit for bit."""
    if not _is_fused(key, shape):
        return jax.random.bernoulli(key, probability, shape)
    first, second = jax.random.key_data(key)
    counts = jax.lax.iota(np.uint32, math.prod(shape)).reshape(shape)
    bits = _threefry(first, second, counts)
    # The upper bits as the fraction of a number in [1, 2).
    uniform = jax.lax.bitcast_convert_type((bits >> np.uint32(9)) | np.uint32(0x3F800000), np.float32) - 1.0
    return uniform < np.float32(probability)


def _is_fused(key: jax.Array, shape: tuple[int, ...]) -> bool:
    """Return whether the bits are drawn here: on a CPU, for JAX's default generator and single precision."""
    if jax.default_backend() != "cpu" or jax.config.jax_enable_x64 or not jax.config.jax_threefry_partitionable:
        return False
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return typed and jax.random.key_impl(key) == "threefry2x32" and math.prod(shape) < 2**32


def _threefry(first: jax.Array, second: jax.Array, counts: jax.Array) -> jax.Array:
    """Return 32 random bits for each count below 2^32, the two words of Threefry-2x32 combined as in JAX."""
    keys = (first, second, first ^ second ^ np.uint32(0x1BD11BDA))
    x, y = jnp.broadcast_to(keys[0], counts.shape), counts + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation)))
        x, y = x + keys[(group + 1) % 3], y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x ^ y
