"""Exploration noise kept over several decisions (FlashSAC, arXiv 2604.04539)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from surefoot.algorithms.parts import HeldNoise


class HeldNoiseState(NamedTuple):
    """Noise of the current decision, and how long it stays."""

    noise: jax.Array
    """[A] standard normal."""
    remaining: jax.Array
    """[] int32, further decisions with this noise."""


def init_held_noise(action_size: int) -> HeldNoiseState:
    """Return the initial state, whose noise is replaced at the first decision."""
    return HeldNoiseState(jnp.zeros(action_size), jnp.int32(0))


def probabilities(config: HeldNoise) -> jax.Array:
    """Return the probabilities [max_decisions] of keeping a noise for 1, 2, ... decisions."""
    weights = (1.0 + jnp.arange(config.max_decisions, dtype=float)) ** -config.exponent
    return weights / jnp.sum(weights)


def advance(config: HeldNoise, state: HeldNoiseState, key: jax.Array) -> HeldNoiseState:
    """Return the state at the next decision: the same noise while any decisions remain, otherwise a new one."""
    noise_key, length_key = jax.random.split(key)
    renewed = state.remaining == 0
    noise = jax.random.normal(noise_key, state.noise.shape, state.noise.dtype)
    decisions = 1 + jax.random.categorical(length_key, jnp.log(probabilities(config))).astype(jnp.int32)
    return HeldNoiseState(
        jnp.where(renewed, noise, state.noise), jnp.where(renewed, decisions, state.remaining) - jnp.int32(1)
    )
