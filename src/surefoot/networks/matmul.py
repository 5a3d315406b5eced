"""How dense layers multiply: in float32, or in bfloat16 with sums in float32.

Weights, their optimiser, statistics, heads and losses stay in float32 in either case. What is multiplied is rounded to
bfloat16's eight binary digits just before, in the passes forward and backward.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Literal

import jax
import jax.numpy as jnp

type Precision = Literal["float32", "bf16"]
"""Of the products in hidden layers."""

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")

_precision: ContextVar[Precision] = ContextVar("precision", default="float32")


@contextlib.contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Trace hidden layers with this precision, as ``jax.default_matmul_precision`` does for everything.

    A compiled function keeps what it was traced with.
    """
    token = _precision.set(precision)
    try:
        yield
    finally:
        _precision.reset(token)


def dot_general(x: jax.Array, kernel: jax.Array, dimension_numbers: Any, **options: Any) -> jax.Array:
    """Multiply [..., N, K] by [K, M] for a dense layer, which asks for nothing else."""
    if _precision.get() == "float32":
        return jax.lax.dot_general(x, kernel, dimension_numbers, **options)
    return _bf16_product(x, kernel)


# JAX's own derivative of a product would multiply the float32 gradient by bfloat16 factors, in float32: no faster.
@jax.custom_vjp
def _bf16_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _forward(x, kernel)[0]


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    factors = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    return _sums(*factors, (x.ndim - 1,), (0,)), factors


def _backward(factors: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = factors
    gradient = gradient.astype(jnp.bfloat16)
    rows = tuple(range(x.ndim - 1))
    return _sums(gradient, kernel, (x.ndim - 1,), (1,)), _sums(x, gradient, rows, rows)


def _sums(a: jax.Array, b: jax.Array, over_a: tuple[int, ...], over_b: tuple[int, ...]) -> jax.Array:
    return jax.lax.dot_general(a, b, ((over_a, over_b), ((), ())), preferred_element_type=jnp.float32)


_bf16_product.defvjp(_forward, _backward)
