"""Bias of Q against returns computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from surefoot.diagnostics import discounted_returns, q_bias

REWARD, LOG_PROB = np.array([1.0, 2.0, 4.0]), np.array([9.0, -1.0, 3.0])


def test_returns_of_a_terminated_episode() -> None:
    """G = r + gamma (G' - alpha log pi'), and nothing follows the last step. The first log pi plays no part."""
    returns = discounted_returns(REWARD, LOG_PROB, discount=0.5, temperature=0.1, value_after=0.0)
    last = 4.0
    middle = 2.0 + 0.5 * (last - 0.1 * 3.0)
    first = 1.0 + 0.5 * (middle - 0.1 * -1.0)
    np.testing.assert_allclose(returns, [first, middle, last], rtol=1e-14)
    other = discounted_returns(REWARD, np.array([-5.0, -1.0, 3.0]), 0.5, 0.1, 0.0)
    np.testing.assert_array_equal(other, returns)


def test_returns_of_a_truncated_episode() -> None:
    """What would have followed is bootstrapped, discounted once for the last step."""
    returns = discounted_returns(REWARD, LOG_PROB, discount=0.5, temperature=0.1, value_after=20.0)
    last = 4.0 + 0.5 * 20.0
    middle = 2.0 + 0.5 * (last - 0.3)
    np.testing.assert_allclose(returns, [1.0 + 0.5 * (middle + 0.1), middle, last], rtol=1e-14)


def test_without_entropy_returns_are_the_discounted_rewards() -> None:
    returns = discounted_returns(REWARD, LOG_PROB, discount=0.9, temperature=0.0, value_after=0.0)
    np.testing.assert_allclose(returns, [1.0 + 0.9 * 2.0 + 0.81 * 4.0, 2.0 + 0.9 * 4.0, 4.0], rtol=1e-14)


def test_returns_of_a_constant_reward() -> None:
    """r / (1 - gamma) at every step, where the tail is bootstrapped with it."""
    returns = discounted_returns(np.full(50, 3.0), np.zeros(50), 0.99, 0.2, value_after=300.0)
    np.testing.assert_allclose(returns, 300.0, rtol=1e-12)


def test_both_normalisations_by_hand() -> None:
    """Biases 2, -1 and 5 on returns 20, -40 and 2; mean return -6."""
    bias = q_bias(q=np.array([22.0, -41.0, 7.0]), returns=np.array([20.0, -40.0, 2.0]))
    assert bias.mean == pytest.approx(2.0 / 6.0)
    assert bias.std == pytest.approx(np.std([2.0, -1.0, 5.0]) / 6.0)
    # Per state over 20, 40 and, since 2 is less than 10, 10.
    per_state = [0.1, -0.025, 0.5]
    assert bias.mean_per_state == pytest.approx(np.mean(per_state))
    assert bias.std_per_state == pytest.approx(np.std(per_state))


def test_zero_returns_leave_only_the_per_state_normalisation() -> None:
    bias = q_bias(np.array([5.0, 5.0]), np.array([1.0, -1.0]))
    assert np.isnan([bias.mean, bias.std]).all()
    assert bias.mean_per_state == pytest.approx(0.5)


def test_a_perfect_critic_has_no_bias() -> None:
    returns = np.array([3.0, -1.0, 8.0])
    assert q_bias(returns, returns) == (0.0, 0.0, 0.0, 0.0)


def test_an_overestimate_is_positive_also_where_returns_are_negative() -> None:
    assert q_bias(np.array([-8.0, -18.0]), np.array([-10.0, -20.0])).mean > 0.0
