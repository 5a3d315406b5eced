"""The entropy temperature's loss."""

from __future__ import annotations

import jax


def temperature_loss(log_alpha: jax.Array, entropy: jax.Array, target_entropy: float) -> jax.Array:
    """Return exp(log alpha) (H - H_target) with the gradient stopped through H.

    Args:
        log_alpha: [].
        entropy: [], the actor batch's estimate, -mean log pi, in nats.
        target_entropy: H_target in nats.
    """
    return jax.numpy.exp(log_alpha) * (jax.lax.stop_gradient(entropy) - target_entropy)
