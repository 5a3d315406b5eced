"""Precision of matrix products in dense layers: float32, or rounded factors with float32 sums.

Weights, optimisers, statistics and losses are always float32, and so is the first layer of a network that does not
begin with a normalisation: rounded, observations far from zero would lose what distinguishes them. Other factors are
rounded just before the product, in forward and backward passes: to bfloat16 (8 significant bits) in hidden layers, or
to TF32 (11) in hidden layers and heads.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp

from surefoot.machine import Precision

_precision: ContextVar[Precision] = ContextVar("precision", default="float32")


@contextlib.contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Trace layers with this precision, which a compiled function keeps.

    On a GPU XLA multiplies float32 factors as TF32 by default, so float32 is requested explicitly. On a CPU the default
    is float32, and requesting it would disable the fast library.
    """
    token = _precision.set(precision)
    try:
        if jax.default_backend() == "cpu":
            yield
        else:
            with jax.default_matmul_precision("float32"):
                yield
    finally:
        _precision.reset(token)


def dot_general(x: jax.Array, kernel: jax.Array, dimension_numbers: Any, **options: Any) -> jax.Array:
    """Return the product of [..., N, K] and [K, M], the only form that a dense layer needs."""
    return _product(x, kernel, _precision.get())


def head_dot_general(x: jax.Array, kernel: jax.Array, dimension_numbers: Any, **options: Any) -> jax.Array:
    """Return the product of [..., N, K] and [K, M] without rounding to bfloat16."""
    return _product(x, kernel, "tf32" if _precision.get() == "tf32" else "float32")


def float32_dot_general(x: jax.Array, kernel: jax.Array, dimension_numbers: Any, **options: Any) -> jax.Array:
    """Return the product of [..., N, K] and [K, M] without rounding."""
    return _product(x, kernel, "float32")


# A custom derivative for two reasons: JAX's own would multiply the float32 gradient by bfloat16 factors in float32,
# which is no faster, and on CPU XLA uses its fast library only for products of row-major factors.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    return _forward(x, kernel, precision)[0]


def _forward(x: jax.Array, kernel: jax.Array, precision: Precision) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    factors = _rounded(x, precision), _rounded(kernel, precision)
    return _sums(*factors, x.ndim - 1, 0, x.dtype, precision), factors


def _backward(
    precision: Precision, factors: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = factors
    dtype = gradient.dtype
    gradient = _rounded(gradient, precision)
    of_x = _sums(gradient, kernel, x.ndim - 1, 1, dtype, precision)
    rows, gradient = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    if jax.default_backend() == "cpu":
        of_kernel = _sums(_transposed(rows), gradient, 1, 0, dtype, precision)
    else:
        of_kernel = _sums(rows, gradient, 0, 0, dtype, precision)
    return of_x, of_kernel


_product.defvjp(_forward, _backward)


def _rounded(x: jax.Array, precision: Precision) -> jax.Array:
    return x.astype(jnp.bfloat16) if precision == "bf16" else x


def _sums(a: jax.Array, b: jax.Array, over_a: int, over_b: int, dtype: Any, precision: Precision) -> jax.Array:
    # bfloat16 factors need no request, which concerns float32 ones; None is that of ``matmul_precision``.
    requested = {"bf16": jax.lax.Precision.DEFAULT, "tf32": jax.lax.Precision.HIGH, "float32": None}[precision]
    dimensions = (((over_a,), (over_b,)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, precision=requested, preferred_element_type=dtype)


def _transposed(x: jax.Array) -> jax.Array:
    """Return the transpose of [B, K], laid out row-major as [K, B].

    The first barrier prevents XLA from recomputing x element by element across its rows, the second from fusing the
    transposition into the product, and the additional axis from keeping the old memory layout.
    """
    return jax.lax.optimization_barrier(jax.lax.optimization_barrier(x).T[None])[0]
