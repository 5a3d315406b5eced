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
    """[]; number of values, plus the initial weight of mean 0 and variance 1."""
    mean_error: jax.Array
    """[...] part of the mean below its precision."""
    variance_error: jax.Array
    """[...] part of the variance below its precision."""


class ReturnMoments(NamedTuple):
    """Running discounted return and its moments."""

    moments: Moments
    running_return: jax.Array
    """[] G of the current episode; [N] where a seed has N > 1 environments."""
    largest: jax.Array | None = None
    """[] largest |G|; None where the scaling has no bound."""


def init_moments(shape: tuple[int, ...], weight: float = 1e-4) -> Moments:
    """Return the initial statistics: mean 0 and variance 1, which count as much as ``weight`` values."""
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.full((), weight, float), jnp.zeros(shape), jnp.zeros(shape))


def update_moments(moments: Moments, value: Array, inflation: float = 0.0) -> Moments:
    """Return the statistics updated with one value [...], or with N values [N, ...] at once (Chan et al. 1983).

    Sums are compensated: in float32 a mean of a thousand standard deviations would otherwise stop moving after tens of
    thousands of values, and the variance with it.

    Args:
        moments: Statistics so far.
        value: [...] or [N, ...].
        inflation: Number of values by which the variance so far counts more than it should.
    """
    if value.ndim == moments.mean.ndim:
        value = value[None]
    number = value.shape[0]
    count = moments.weight + number
    deltas = (value - moments.mean[None]) - moments.mean_error[None]
    delta = jnp.mean(deltas, axis=0)
    change = delta * number / count
    spread = jnp.mean(jnp.square(deltas - delta[None]), axis=0)
    excess = number * (jnp.square(delta) * moments.weight / count + spread - moments.variance)
    mean, mean_error = _add(moments.mean, moments.mean_error + change)
    if inflation:
        excess = excess + inflation * moments.variance
    variance, variance_error = _add(moments.variance, moments.variance_error + excess / count)
    return Moments(mean, variance, count, mean_error, variance_error)


def _add(total: jax.Array, term: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the rounded sum and its rounding error (Knuth's TwoSum)."""
    rounded = total + term
    added = rounded - total
    return rounded, (total - (rounded - added)) + (term - added)


def normalize(moments: Moments, values: Array, epsilon: float) -> jax.Array:
    """Return (values - mean) / sqrt(variance + epsilon) for values [B, ...]."""
    centred = (jnp.asarray(values) - moments.mean[None]) - moments.mean_error[None]
    return centred / jnp.sqrt(moments.variance + epsilon)[None]


_INFLATION = 1e-4
"""FlashSAC's code adds this to the count in every update of the variance, not only in the first."""


def init_return_moments(*, bounded: bool) -> ReturnMoments:
    """Return the initial statistics; for scaling with a bound they include the largest |G|."""
    return ReturnMoments(init_moments((), weight=0.0), jnp.zeros(()), jnp.zeros(()) if bounded else None)


def update_return_moments(returns: ReturnMoments, reward: Array, ended: Array, discount: float) -> ReturnMoments:
    """Return the statistics updated with a reward [] or [N]: G = discount (1 - ended) G + reward (arXiv 2509.25174)."""
    running = jnp.asarray(discount * (1.0 - ended) * returns.running_return + reward)
    if returns.largest is None:
        return ReturnMoments(update_moments(returns.moments, running), running)
    moments = update_moments(returns.moments, running, _INFLATION)
    return ReturnMoments(moments, running, jnp.maximum(returns.largest, jnp.max(jnp.abs(running))))


def scale_reward_bounded(returns: ReturnMoments, reward: jax.Array, bound: float, epsilon: float) -> jax.Array:
    """Return the reward [...] in units of max(sqrt(variance + epsilon), max |G| / bound)."""
    assert returns.largest is not None
    return reward / jnp.maximum(jnp.sqrt(returns.moments.variance + epsilon), returns.largest / bound)


def scale_reward(returns: ReturnMoments, reward: jax.Array, epsilon: float) -> jax.Array:
    """Return the reward [...] in units of the return's standard deviation."""
    return reward / (jnp.sqrt(returns.moments.variance) + epsilon)
