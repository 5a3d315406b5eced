"""Sampling from the tanh-squashed Gaussian."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp


def sample_with_log_prob(mean: jax.Array, log_std: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw reparametrised actions and their log-probabilities.

    The log-determinant of the tanh is computed as log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)), which stays
    precise where tanh saturates (a stable form of Haarnoja et al., arXiv 1812.05905, appendix C).

    Args:
        mean: [..., A] mean before the tanh.
        log_std: [..., A] log standard deviation before the tanh.
        key: Random key.

    Returns:
        Actions [..., A] in (-1, 1) and log-probabilities [...].
    """
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    raw = mean + jnp.exp(log_std) * noise
    gaussian = -0.5 * jnp.square(noise) - log_std - 0.5 * math.log(2.0 * math.pi)
    squash = 2.0 * (math.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))
    return jnp.tanh(raw), jnp.sum(gaussian - squash, axis=-1)
