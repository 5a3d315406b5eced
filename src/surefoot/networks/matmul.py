"""How dense layers multiply: in float32, or with factors rounded to fewer digits and sums in float32.

Weights, their optimiser, statistics and losses stay in float32 in any case. What is multiplied is rounded just before,
in the passes forward and backward: to bfloat16's eight binary digits in hidden layers, or to TF32's eleven in all.
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
    """Trace layers with this precision; a compiled function keeps what it was traced with.

    On a GPU XLA would multiply float32 factors as TF32 unless told otherwise, so there float32 has to be asked for. On
    a CPU float32 is what it does, and asking for it would cost its fast library.
    """
    token = _precision.set(precision)
    try:
        if jax.default_backend() == "cpu":
            yield
        else:
            with jax.default_matmul_precision("tensorfloat32" if precision == "tf32" else "float32"):
                yield
    finally:
        _precision.reset(token)


def dot_general(x: jax.Array, kernel: jax.Array, dimension_numbers: Any, **options: Any) -> jax.Array:
    """Multiply [..., N, K] by [K, M] for a dense layer, which asks for nothing else."""
    return _product(x, kernel, _precision.get())


# The derivative is written out for two reasons. JAX's own would multiply the float32 gradient by bfloat16 factors, in
# float32: no faster. And XLA hands only products of row-major factors to its fast library on CPU.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    return _forward(x, kernel, precision)[0]


def _forward(x: jax.Array, kernel: jax.Array, precision: Precision) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    factors = _rounded(x, precision), _rounded(kernel, precision)
    return _sums(*factors, x.ndim - 1, 0, x.dtype), factors


def _backward(
    precision: Precision, factors: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = factors
    dtype = gradient.dtype
    gradient = _rounded(gradient, precision)
    of_x = _sums(gradient, kernel, x.ndim - 1, 1, dtype)
    rows, gradient = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    if jax.default_backend() == "cpu":
        of_kernel = _sums(_transposed(rows), gradient, 1, 0, dtype)
    else:
        of_kernel = _sums(rows, gradient, 0, 0, dtype)
    return of_x, of_kernel


_product.defvjp(_forward, _backward)


def _rounded(x: jax.Array, precision: Precision) -> jax.Array:
    return x.astype(jnp.bfloat16) if precision == "bf16" else x


def _sums(a: jax.Array, b: jax.Array, over_a: int, over_b: int, dtype: Any) -> jax.Array:
    # Factors of bfloat16 are multiplied as they are, whatever is asked of float32 ones.
    precision = jax.lax.Precision.DEFAULT if a.dtype == jnp.bfloat16 else None
    dimensions = (((over_a,), (over_b,)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, precision=precision, preferred_element_type=dtype)


def _transposed(x: jax.Array) -> jax.Array:
    """Return [B, K] as [K, B] in memory, too, where XLA would otherwise only read it across its rows.

    The first barrier keeps XLA from doing again what led to x, element by element across its rows; the second one from
    folding the transposition into the product; and the axis around it from handing on the old order in memory.
    """
    return jax.lax.optimization_barrier(jax.lax.optimization_barrier(x).T[None])[0]
