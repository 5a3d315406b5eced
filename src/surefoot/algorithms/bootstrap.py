"""What the critic regresses on."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def soft_target(
    reward: jax.Array,
    terminated: jax.Array,
    next_q: jax.Array,
    next_log_prob: jax.Array,
    temperature: jax.Array,
    discount: float,
) -> jax.Array:
    """Return y = r + gamma (1 - terminated) (min_c Q_c(s', a') - alpha log pi(a' | s')).

    Termination alone stops the bootstrap; an episode that a time limit cut goes on in the eyes of the value.

    Args:
        reward: [B].
        terminated: [B], 1 where the next state's value is zero.
        next_q: [C, B], Q of the next state and of an action that the policy drew there.
        next_log_prob: [B], log-probability of that action.
        temperature: [], alpha.
        discount: gamma per agent step.

    Returns:
        [B].
    """
    next_value = jnp.min(next_q, axis=0) - temperature * next_log_prob
    return reward + discount * (1.0 - terminated) * next_value
