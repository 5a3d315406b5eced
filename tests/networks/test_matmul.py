"""Products of bfloat16 factors with sums in float32, forward and backward."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.machine import Precision
from surefoot.networks.matmul import dot_general, matmul_precision

LAST = (((1,), (0,)), ((), ()))
X = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


def rounded(x: np.ndarray) -> np.ndarray:
    """Return x rounded to bfloat16."""
    return np.asarray(jnp.asarray(x).astype(jnp.bfloat16).astype(jnp.float32))


def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    with matmul_precision("bf16"):
        return dot_general(x, kernel, LAST)


def test_float32_is_the_plain_product() -> None:
    np.testing.assert_array_equal(dot_general(X, KERNEL, LAST), jax.lax.dot_general(X, KERNEL, LAST))


def test_bf16_rounds_factors_but_not_sums() -> None:
    found = product(X, KERNEL)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, rounded(X) @ rounded(KERNEL), rtol=1e-5, atol=1e-6)
    assert np.abs(found - X @ KERNEL).max() > 1e-4


def test_gradients_are_products_of_rounded_factors() -> None:
    gradient = np.random.default_rng(2).normal(size=(7, 3)).astype(np.float32)
    _, pull = jax.vjp(product, jnp.asarray(X), jnp.asarray(KERNEL))
    of_x, of_kernel = pull(jnp.asarray(gradient))
    np.testing.assert_allclose(of_x, rounded(gradient) @ rounded(KERNEL).T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_kernel, rounded(X).T @ rounded(gradient), rtol=1e-5, atol=1e-6)
    assert of_x.dtype == of_kernel.dtype == jnp.float32


def test_every_product_of_a_gradient_has_bfloat16_factors() -> None:
    """JAX's own derivative would multiply float32 gradients."""
    program = jax.make_jaxpr(jax.grad(lambda x, k: product(x, k).sum(), argnums=(0, 1)))(X, KERNEL)
    found = [equation for equation in program.jaxpr.eqns if equation.primitive.name == "dot_general"]
    assert len(found) == 3
    operands: list[Any] = [variable.aval for equation in found for variable in equation.invars]
    assert {operand.dtype for operand in operands} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_products_read_row_major_factors(precision: Precision) -> None:
    """Other layouts use a slow path of XLA on CPU, which multiplies bfloat16 in float32."""
    x, kernel = jnp.ones((2, 256, 64)), jnp.ones((2, 64, 32))

    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        with matmul_precision(precision):
            return jnp.square(jax.vmap(lambda x, kernel: dot_general(jnp.sin(x), kernel, LAST))(x, kernel)).sum()

    program = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(x, kernel).compile().as_text()
    assert " dot(" in program
    assert "lhs_contracting_dims={1}" not in program


def test_ensembles_and_seeds_are_mapped_over() -> None:
    kernels = np.stack([KERNEL, -KERNEL])
    found = jax.vmap(product, in_axes=(None, 0))(X, kernels)
    np.testing.assert_allclose(found[1], -product(jnp.asarray(X), jnp.asarray(KERNEL)), rtol=1e-5)
