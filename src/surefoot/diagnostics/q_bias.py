"""How far Q is from the return that really follows (T1, Figure 2; Chen et al., arXiv 2101.05982).

A trajectory of the current stochastic policy gives, for each of its first state-action pairs, the soft return that
followed: G_t = r_t + gamma (G_{t+1} - alpha log pi_{t+1}). The bias is Q - G, with Q the mean over the critics.
``judge`` draws a trajectory's actions and values them; ``discounted_returns`` and ``q_bias`` do the arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms import Learner, LearnerState
from surefoot.networks.matmul import matmul_precision

PAIRS = 350
"""State-action pairs of each trajectory that enter the statistics, from its start."""

SMALLEST_RETURN = 10.0
"""Returns are taken for at least this large in the per-state normalisation (REDQ's and CrossQ's released code)."""


class QBias(NamedTuple):
    """Mean and standard deviation over all pairs, in both normalisations."""

    mean: float
    """Of (Q - G) / |mean G| (the paper's)."""
    std: float
    """Of the same."""
    mean_per_state: float
    """Of (Q - G) / max(|G|, 10) (the released code's)."""
    std_per_state: float
    """Of the same."""


class Judged(NamedTuple):
    """Actions of the stochastic policy and what the critics say of them."""

    action: jax.Array
    """[B, A] in [-1, 1]."""
    log_prob: jax.Array
    """[B] log pi of it; zeros for a policy without entropy."""
    q: jax.Array
    """[B] mean over the critics, under running statistics and without dropout."""


@matmul_precision("float32")
def judge(learner: Learner, state: LearnerState, observation: jax.Array, key: jax.Array) -> Judged:
    """Draw an action of one seed's policy for each observation and value it.

    It is the policy that the critics judge in training: a second, optimistic policy and added noise play no part.

    Args:
        learner: written for one seed.
        state: of that seed.
        observation: [B, O], as the environment gives it.
        key: for the actions.
    """
    seen = learner.normalize(state, observation)
    action, log_prob = learner.algorithm.policy.policy_action(learner.actor.evaluate(state.actor, seen), key)
    q = learner.algorithm.critic_loss.value(learner.critic.evaluate(state.critic, seen, action))
    return Judged(action, log_prob, jnp.mean(q, axis=0))


def discounted_returns(
    reward: np.ndarray, log_prob: np.ndarray, discount: float, temperature: float, value_after: float
) -> np.ndarray:
    """Return the soft return from each step of one trajectory, [T].

    Args:
        reward: [T].
        log_prob: [T] log pi of the action at each step.
        discount: gamma per agent step.
        temperature: alpha.
        value_after: what follows the last step: 0 where the episode terminated; where a time limit cut it, the
            bootstrapped Q - alpha log pi of an action drawn in the state after it.
    """
    following = value_after
    returns = np.empty(len(reward))
    for t in range(len(reward) - 1, -1, -1):
        returns[t] = reward[t] + discount * following
        following = returns[t] - temperature * log_prob[t]
    return returns


def q_bias(q: np.ndarray, returns: np.ndarray) -> QBias:
    """Compare values with what followed.

    Args:
        q: [N] mean over the critics of Q at each pair.
        returns: [N] soft return from each pair. Where their mean is 0, the first normalisation is NaN.
    """
    bias = q - returns
    overall = bias / (abs(returns.mean()) or np.nan)
    per_state = bias / np.maximum(np.abs(returns), SMALLEST_RETURN)
    return QBias(float(overall.mean()), float(overall.std()), float(per_state.mean()), float(per_state.std()))
