"""Curvature of the critic's loss by Lanczos: its largest eigenvalue and condition number (XQC, arXiv 2509.25174).

The Hessian is never formed: each step takes one product of it with a vector.
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
    """Of the loss of all critics together at one batch; both []."""

    largest_eigenvalue: jax.Array
    """Of the Hessian, by modulus."""
    condition_number: jax.Array
    """Largest over smallest modulus among the Ritz values, of which there is one per Lanczos step: an estimate (a lower
    bound where the Hessian is semidefinite), comparable between runs that take the same number of steps."""


@matmul_precision("float32")
def critic_curvature(
    learner: Learner, state: LearnerState, batch: Batch, key: jax.Array, num_steps: int = 30
) -> Curvature:
    """Run Lanczos with full reorthogonalisation from a random vector.

    Args:
        learner: written for one seed.
        state: of that seed.
        batch: [B, ...], as drawn from the replay buffer.
        key: for the next actions in the loss, and for the first vector.
        num_steps: products with the Hessian, each about four times a gradient.
    """
    batch = learner.preprocess(state, batch)
    flat, unravel = ravel_pytree(state.critic.params)
    loss_key, start_key = jax.random.split(key)
    num_steps = min(num_steps, flat.size)

    def gradient(point: jax.Array) -> jax.Array:
        grads, _ = jax.grad(learner.critic_loss, has_aux=True)(unravel(point), state, batch, loss_key)
        return ravel_pytree(grads)[0]

    def product(vector: jax.Array) -> jax.Array:
        # Reverse over reverse: the networks' own derivatives are written for reverse mode.
        return jax.grad(lambda point: jnp.vdot(gradient(point), vector))(flat)

    ritz = jnp.abs(lanczos(product, jax.random.normal(start_key, flat.shape, flat.dtype), num_steps))
    return Curvature(jnp.max(ritz), jnp.max(ritz) / jnp.min(ritz))


def lanczos(product: Callable[[jax.Array], jax.Array], start: jax.Array, num_steps: int) -> jax.Array:
    """Return the Ritz values [num_steps] of a symmetric operator.

    Args:
        product: vector [N] -> operator times vector [N].
        start: [N], not zero.
        num_steps: at most N.
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
        # What is left may be rounding alone: the vectors so far span all that the operator reaches from the first one.
        # Then another one begins a block of its own.
        ended = norm <= 100.0 * jnp.finfo(vector.dtype).eps * scale
        fresh = orthogonal(jnp.roll(start, i + 1), basis)
        vector = jnp.where(ended, fresh, vector)
        basis = basis.at[i + 1].set(vector / jnp.linalg.norm(vector), mode="drop")
        return (basis, scale), (diagonal, jnp.where(ended, 0.0, norm))

    basis = jnp.zeros((num_steps, start.size), start.dtype).at[0].set(start / jnp.linalg.norm(start))
    _, (diagonal, off_diagonal) = jax.lax.scan(step, (basis, jnp.zeros((), start.dtype)), jnp.arange(num_steps))
    between = jnp.diag(off_diagonal[:-1], 1)
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + between + between.T)
