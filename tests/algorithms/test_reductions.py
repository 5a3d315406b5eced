"""Weights of the critics of an ensemble, by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import First, LowestMean, Mean, Min, RandomSubsetMin

KEY = jax.random.key(0)
Q = jnp.array([[3.0, 1.0], [2.0, 5.0], [4.0, 0.0]])  # three critics, two samples


def test_weights_by_hand() -> None:
    lowest = [[0, 0], [1, 0], [0, 1]]
    expected: dict[Any, Any] = {
        Min(): lowest,
        LowestMean(): lowest,
        RandomSubsetMin(3): lowest,
        Mean(): np.full((3, 2), 1 / 3),
        First(): [[1, 1], [0, 0], [0, 0]],
    }
    for reduction, weights in expected.items():
        np.testing.assert_allclose(reduction(Q, KEY), weights, rtol=1e-7, err_msg=str(reduction))


def test_random_subset_is_distinct_and_redrawn_per_key() -> None:
    """Critic c has value 2^c; the minimum of two distinct critics of four is 1, 2 or 4 and never 8."""
    q = jnp.broadcast_to(2.0 ** jnp.arange(4.0)[:, None], (4, 5))
    reduce = jax.jit(jax.vmap(lambda key: jnp.sum(RandomSubsetMin(2)(q, key) * q, axis=0)))
    drawn = np.asarray(reduce(jax.random.split(KEY, 600)))
    assert drawn.shape == (600, 5)
    assert (drawn == drawn[:, :1]).all(), "one draw for the whole batch"
    shares = {value: float((drawn[:, 0] == value).mean()) for value in (1.0, 2.0, 4.0, 8.0)}
    # Of the six pairs, three contain the lowest critic; the minimum is the second lowest in two, the third in one.
    assert shares == pytest.approx({1.0: 3 / 6, 2.0: 2 / 6, 4.0: 1 / 6, 8.0: 0.0}, abs=0.07)
    assert shares[8.0] == 0.0


def test_reductions_that_need_scalar_critics() -> None:
    needs = {part for part in (Min(), Mean(), LowestMean(), RandomSubsetMin(2), First()) if part.needs_scalars}
    assert needs == {Min(), RandomSubsetMin(2)}
