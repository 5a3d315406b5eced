"""Running statistics of a seed's observations and discounted returns."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from surefoot.types import Array


class Moments(NamedTuple):
    """Running mean and biased variance."""

    mean: jax.Array
    """[...]"""
    variance: jax.Array
    """[...]"""
    weight: jax.Array
    """[]; number of values. It starts just above zero, so that the first value replaces mean 0 and variance 1."""


class ReturnMoments(NamedTuple):
    """Running discounted return and its moments."""

    moments: Moments
    running_return: jax.Array
    """[] G of the current episode."""


def init_moments(shape: tuple[int, ...]) -> Moments:
    """Return the initial statistics."""
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.full((), 1e-4, float))


def update_moments(moments: Moments, value: Array) -> Moments:
    """Return the statistics updated with one value [...] (Chan et al.'s update for a batch of one)."""
    count = moments.weight + 1.0
    delta = value - moments.mean
    mean = moments.mean + delta / count
    squares = moments.variance * moments.weight + jnp.square(delta) * moments.weight / count
    return Moments(mean, squares / count, count)


def normalize(moments: Moments, values: Array, epsilon: float) -> jax.Array:
    """Return (values - mean) / sqrt(variance + epsilon) for values [B, ...]."""
    return (jnp.asarray(values) - moments.mean[None]) / jnp.sqrt(moments.variance + epsilon)[None]


def init_return_moments() -> ReturnMoments:
    """Return the initial statistics."""
    return ReturnMoments(init_moments(()), jnp.zeros(()))


def update_return_moments(returns: ReturnMoments, reward: Array, ended: Array, discount: float) -> ReturnMoments:
    """Return the statistics updated with a reward []: G = discount (1 - ended) G + reward (arXiv 2509.25174)."""
    running = jnp.asarray(discount * (1.0 - ended) * returns.running_return + reward)
    return ReturnMoments(update_moments(returns.moments, running), running)


def scale_reward(returns: ReturnMoments, reward: jax.Array, epsilon: float) -> jax.Array:
    """Return the reward [...] in units of the return's standard deviation."""
    return reward / jnp.sqrt(returns.moments.variance + epsilon)
