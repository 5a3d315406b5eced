"""From many critics to one value, by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import CategoricalCrossEntropy, First, LowestMean, Mean, Min, RandomSubsetMin

KEY = jax.random.key(0)
SCALARS = jnp.array([[[3.0], [1.0]], [[2.0], [5.0]], [[4.0], [0.0]]])  # three critics, two samples
PAIRS = jnp.array([[[1.0, 5.0], [0.0, 9.0]], [[3.0, 4.0], [2.0, 2.0]]])  # two critics, two samples, two numbers each


def test_min_takes_the_lowest_critic_of_each_sample() -> None:
    np.testing.assert_array_equal(Min()(SCALARS, SCALARS[..., 0], KEY), [[2.0], [0.0]])


def test_mean_averages_each_number() -> None:
    np.testing.assert_array_equal(Mean()(SCALARS, SCALARS[..., 0], KEY), [[3.0], [2.0]])
    np.testing.assert_array_equal(Mean()(PAIRS, PAIRS.mean(-1), KEY), [[2.0, 4.5], [1.0, 5.5]])


def test_the_mean_of_distributions_is_their_mixture() -> None:
    part, logits = CategoricalCrossEntropy(2, 0.0, 1.0), jnp.log(jnp.array([[[0.2, 0.8]], [[0.6, 0.4]]]))
    mixture = Mean()(part.describe(logits), part.value(logits), KEY)
    np.testing.assert_allclose(mixture, [[0.4, 0.6]], rtol=1e-6)


def test_lowest_mean_takes_one_critics_whole_distribution_for_each_sample() -> None:
    """Means 3 and 4.5 against 3.5 and 2: the first critic for the first sample, the second for the second."""
    np.testing.assert_array_equal(LowestMean()(PAIRS, PAIRS.mean(-1), KEY), [[1.0, 5.0], [2.0, 2.0]])


def test_first_ignores_the_others() -> None:
    np.testing.assert_array_equal(First()(PAIRS, PAIRS.mean(-1), KEY), PAIRS[0])


def test_a_random_subset_is_of_distinct_critics_drawn_anew_with_each_key() -> None:
    """Critic c says 2^c; the minimum of two distinct critics of four is 1, 2 or 4 and never 8."""
    outputs = jnp.broadcast_to(2.0 ** jnp.arange(4.0)[:, None, None], (4, 5, 1))
    reduce = jax.jit(jax.vmap(lambda key: RandomSubsetMin(2)(outputs, outputs[..., 0], key)))
    drawn = np.asarray(reduce(jax.random.split(KEY, 600)))
    assert drawn.shape == (600, 5, 1)
    assert (drawn == drawn[:, :1]).all(), "one draw for the whole batch"
    shares = {value: float((drawn[:, 0, 0] == value).mean()) for value in (1.0, 2.0, 4.0, 8.0)}
    # Of the six pairs three hold the lowest critic, two have the next as their lowest, one the one after.
    assert shares == pytest.approx({1.0: 3 / 6, 2.0: 2 / 6, 4.0: 1 / 6, 8.0: 0.0}, abs=0.07)
    assert shares[8.0] == 0.0


def test_a_subset_of_all_is_the_minimum_of_all() -> None:
    np.testing.assert_array_equal(RandomSubsetMin(3)(SCALARS, SCALARS[..., 0], KEY), Min()(SCALARS, SCALARS, KEY))


def test_which_reductions_compare_numbers() -> None:
    assert [part.needs_scalars for part in (Min(), Mean(), LowestMean(), RandomSubsetMin(2), First())] == [
        *(True, False, False, True, False)
    ]
