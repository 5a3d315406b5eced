"""Bias of Q relative to the observed return (arXiv 2502.07523v1, Figure 2; Chen et al., arXiv 2101.05982).

A trajectory of the current stochastic policy yields the soft return of each of its first state-action pairs,
G_t = r_t + gamma (G_{t+1} - alpha log pi_{t+1}). The bias is Q - G, with Q the mean over the critics. ``act_and_value``
samples and values the actions of a trajectory; ``discounted_returns`` and ``q_bias`` compute the bias.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms import Learner, LearnerState
from surefoot.networks.matmul import matmul_precision

PAIRS = 350
"""Number of state-action pairs per trajectory in the statistics, from its start."""

SMALLEST_RETURN = 10.0
"""Lower bound on the return in the per-state normalisation (REDQ's and CrossQ's released code)."""


class QBias(NamedTuple):
    """Mean and standard deviation over all pairs, in both normalisations."""

    mean: float
    """Mean of (Q - G) / |mean G| (the paper's)."""
    std: float
    """Standard deviation of the same."""
    mean_per_state: float
    """Mean of (Q - G) / max(|G|, 10) (the released code's)."""
    std_per_state: float
    """Standard deviation of the same."""


class ValuedActions(NamedTuple):
    """Actions of the stochastic policy and their values."""

    action: jax.Array
    """[B, A] in [-1, 1]."""
    log_prob: jax.Array
    """[B] log pi of it; zeros for a policy without entropy."""
    q: jax.Array
    """[B] mean Q over the critics, in evaluation mode."""


@matmul_precision("float32")
def act_and_value(learner: Learner, state: LearnerState, observation: jax.Array, key: jax.Array) -> ValuedActions:
    """Sample an action of one seed's policy for each observation, and value it.

    The policy is that of the training losses, without optimism and exploration noise.

    Args:
        learner: Learner of one seed.
        state: State of one seed.
        observation: [B, O], as returned by the environment.
        key: Random key of the actions.
    """
    normalized = learner.statistics.normalize(state, observation)
    action, log_prob = learner.algorithm.policy.policy_action(learner.actor.evaluate(state.actor, normalized), key)
    q = learner.algorithm.critic_loss.value(learner.critic.evaluate(state.critic, normalized, action))
    return ValuedActions(action, log_prob, jnp.mean(q, axis=0))


def discounted_returns(
    reward: np.ndarray, log_prob: np.ndarray, discount: float, temperature: float, value_after: float
) -> np.ndarray:
    """Return the soft return from each step of one trajectory, [T].

    Args:
        reward: [T].
        log_prob: [T] log pi of the action at each step.
        discount: gamma per agent step.
        temperature: alpha.
        value_after: Value after the last step: 0 if the episode terminated, Q - alpha log pi of a sampled action if a
            time limit truncated it.
    """
    following = value_after
    returns = np.empty(len(reward))
    for t in range(len(reward) - 1, -1, -1):
        returns[t] = reward[t] + discount * following
        following = returns[t] - temperature * log_prob[t]
    return returns


def q_bias(q: np.ndarray, returns: np.ndarray) -> QBias:
    """Return the bias of values relative to returns.

    Args:
        q: [N] mean Q over the critics, per pair.
        returns: [N] soft return, per pair. If their mean is 0, the first normalisation is NaN.
    """
    bias = q - returns
    overall = bias / (abs(returns.mean()) or np.nan)
    per_state = bias / np.maximum(np.abs(returns), SMALLEST_RETURN)
    return QBias(float(overall.mean()), float(overall.std()), float(per_state.mean()), float(per_state.std()))
