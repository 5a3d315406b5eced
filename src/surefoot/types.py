"""Data shared by the packages, and the glossary of axes.

Axes, in the order in which they appear in a shape:

    S  seeds (independent agents trained side by side)
    N  environments per seed
    K  environments of all seeds, S times N, those of a seed next to each other
    U  gradient updates within one agent step
    C  critics of an ensemble
    B  batch (transitions sampled for one update)
    T  steps of an episode
    E  episodes of an evaluation
    O  observation entries
    A  action entries

The learner and the networks are written for one seed and mapped over S once, in ``training.population_programs``; the
writing of a replay buffer is written for one environment and mapped over K.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

type PyTree = Any
"""A nested structure of arrays."""

type Array = jax.Array | np.ndarray
"""An array on the device, or one to be transferred to it."""


class EnvSpec(NamedTuple):
    """Sizes of an environment."""

    observation_size: int
    """O, entries of the flat float32 observation."""
    action_size: int
    """A, entries of the action in [-1, 1]."""
    stored_dtype: str = "float32"
    """"float32" or "uint8", in which the replay buffer stores observations; it takes and returns them as float32."""
    actor_columns: tuple[int, ...] | None = None
    """Entries of the observation that the policy receives; None for all."""
    critic_columns: tuple[int, ...] | None = None
    """Entries that the critics receive; None for all."""


class Transition(NamedTuple):
    """One decision in one environment."""

    action: Array
    """[A] float32 in [-1, 1]."""
    reward: Array
    """[] float32, summed over the action repeat."""
    next_observation: Array
    """[O] float32, the transition's own, also where the episode ended."""
    terminated: Array
    """[] bool, the episode ended in a state whose value is zero. A time limit does not terminate."""
    observation: Array
    """[O] float32, the observation to act on next: next_observation, or the first one of a new episode."""
    ended: Array
    """[] bool, terminated or truncated: observation starts a new episode."""


class Batch(NamedTuple):
    """Transitions drawn from the replay buffer for one gradient update."""

    observation: jax.Array
    """[B, O] float32."""
    action: jax.Array
    """[B, A] float32 in [-1, 1]."""
    reward: jax.Array
    """[B] float32."""
    next_observation: jax.Array
    """[B, O] float32."""
    terminated: jax.Array
    """[B] float32, 1 where the bootstrap stops."""
