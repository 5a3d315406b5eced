"""What the machine can do at most, measured through XLA like everything else: matrix products and moving memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SIZE = 512
"""Of the square matrices that are multiplied, about the size of the products in an update."""

_COPIED = 2**26
"""Numbers in the array that is moved: far more than caches hold."""


def matmul_part(dtype: Any = jnp.float32) -> tuple[Callable[[int], None], float]:
    """Return a function that multiplies ``SIZE`` x ``SIZE`` matrices so many times, and 10^9 operations per product.

    Args:
        dtype: of the factors; sums are in float32.
    """
    matrix = jax.random.normal(jax.random.key(0), (SIZE, SIZE))
    # Scaled so that the products neither vanish nor overflow.
    other = (matrix / np.sqrt(SIZE)).astype(dtype)

    @jax.jit
    def products(count: jax.Array) -> jax.Array:
        def one(_: jax.Array, x: jax.Array) -> jax.Array:
            return jax.lax.dot(x.astype(dtype), other, preferred_element_type=jnp.float32)

        return jax.lax.fori_loop(0, count, one, matrix)

    def run(calls: int) -> None:
        products(np.int32(calls)).block_until_ready()

    return run, 2.0 * SIZE**3 / 1e9


def memory_part() -> tuple[Callable[[int], None], float]:
    """Return a function that reads and writes a large array so many times, and 10^9 bytes moved per time."""

    @jax.jit
    def change(x: jax.Array) -> jax.Array:
        return x + 1.0

    array = jnp.zeros(_COPIED, jnp.float32)

    def run(calls: int) -> None:
        for _ in range(calls):
            change(array).block_until_ready()

    return run, 2.0 * 4 * _COPIED / 1e9
