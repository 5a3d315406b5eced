"""Curvature of the critics' loss by Lanczos: largest eigenvalue and condition number (XQC, arXiv 2509.25174).

The Hessian is never formed: each step needs one Hessian-vector product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from surefoot.algorithms import Learner, LearnerState
from surefoot.networks.matmul import matmul_precision
from surefoot.types import Batch


class Curvature(NamedTuple):
    """Curvature of the loss of all critics on one batch; both []."""

    largest_eigenvalue: jax.Array
    """Largest absolute eigenvalue of the Hessian."""
    condition_number: jax.Array
    """Ratio of the largest to the smallest absolute Ritz value, one per Lanczos step: an estimate (a lower bound if the
    Hessian is semidefinite), comparable between runs with the same number of steps."""


@matmul_precision("float32")
def critic_curvature(
    learner: Learner, state: LearnerState, batch: Batch, key: jax.Array, num_steps: int = 30
) -> Curvature:
    """Return the curvature by Lanczos with full reorthogonalisation, started from a random vector.

    Args:
        learner: Learner of one seed.
        state: State of one seed.
        batch: [B, ...], as sampled from the replay buffer.
        key: Random key of the loss and the first vector.
        num_steps: Number of Hessian-vector products, each about four times the cost of a gradient.
    """
    batch = learner.statistics.preprocess(state, batch)
    flat, unravel = ravel_pytree(state.critic.params)
    loss_key, start_key = jax.random.split(key)
    num_steps = min(num_steps, flat.size)

    def gradient(point: jax.Array) -> jax.Array:
        grads, _ = jax.grad(learner.critic_loss, has_aux=True)(unravel(point), state, batch, loss_key)
        return ravel_pytree(grads)[0]

    def product(vector: jax.Array) -> jax.Array:
        # Reverse over reverse: the custom derivatives of the layers support reverse mode only.
        return jax.grad(lambda point: jnp.vdot(gradient(point), vector))(flat)

    ritz = jnp.abs(lanczos(product, jax.random.normal(start_key, flat.shape, flat.dtype), num_steps))
    return Curvature(jnp.max(ritz), jnp.max(ritz) / jnp.min(ritz))


def lanczos(product: Callable[[jax.Array], jax.Array], start: jax.Array, num_steps: int) -> jax.Array:
    """Return the Ritz values [num_steps] of a symmetric operator.

    Args:
        product: Function vector [N] -> operator times vector [N].
        start: [N], first vector, not zero.
        num_steps: Number of steps, at most N.
    """

    def orthogonal(vector: jax.Array, basis: jax.Array) -> jax.Array:
        # Twice, because one pass of Gram-Schmidt leaves rounding errors that grow with the steps.
        for _ in range(2):
            vector = vector - (basis @ vector) @ basis
        return vector

    def step(
        carried: tuple[jax.Array, jax.Array], i: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        basis, scale = carried
        image = product(basis[i])
        diagonal = image @ basis[i]
        vector = orthogonal(image, basis)
        norm = jnp.linalg.norm(vector)
        scale = jnp.maximum(scale, jnp.linalg.norm(image))
        # A remainder of the size of rounding errors means that the basis spans an invariant subspace. Lanczos then
        # continues from another vector, as a new block.
        ended = norm <= 100.0 * jnp.finfo(vector.dtype).eps * scale
        fresh = orthogonal(jnp.roll(start, i + 1), basis)
        vector = jnp.where(ended, fresh, vector)
        basis = basis.at[i + 1].set(vector / jnp.linalg.norm(vector), mode="drop")
        return (basis, scale), (diagonal, jnp.where(ended, 0.0, norm))

    basis = jnp.zeros((num_steps, start.size), start.dtype).at[0].set(start / jnp.linalg.norm(start))
    _, (diagonal, off_diagonal) = jax.lax.scan(step, (basis, jnp.zeros((), start.dtype)), jnp.arange(num_steps))
    between = jnp.diag(off_diagonal[:-1], 1)
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + between + between.T)
