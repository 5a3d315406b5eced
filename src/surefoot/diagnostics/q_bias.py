"""How far Q is from the return that really follows (T1, Figure 2; Chen et al., arXiv 2101.05982).

A trajectory of the current stochastic policy gives, for each of its first state-action pairs, the soft return that
followed: G_t = r_t + gamma (G_{t+1} - alpha log pi_{t+1}). The bias is Q - G, with Q the mean over the critics.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
        returns: [N] soft return from each pair.
    """
    bias = q - returns
    overall = bias / abs(returns.mean())
    per_state = bias / np.maximum(np.abs(returns), SMALLEST_RETURN)
    return QBias(float(overall.mean()), float(overall.std()), float(per_state.mean()), float(per_state.std()))
