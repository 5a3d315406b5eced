"""Samples from the buffers of several environments per seed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import replay
from surefoot.replay import ReplayState
from surefoot.types import EnvSpec, Transition

SEEDS, ENVS, STEPS, CAPACITY, FRAMES = 2, 3, 9, 8, 10


def filled() -> tuple[ReplayState, list[set[float]]]:
    """Return buffers [K] of numbered frames, and the numbers at which the transitions of each seed start.

    Environments end an episode every 2, 3, ... steps, so that in rings of ten frames they keep different numbers.
    """
    first = jnp.arange(SEEDS * ENVS, dtype=jnp.float32)[:, None] * 100.0
    buffers = jax.vmap(lambda one: replay.init(EnvSpec(1, 1), CAPACITY, FRAMES, one))(first)
    add = jax.jit(jax.vmap(replay.add))
    newest = np.array(first)
    starts: list[list[float]] = [[] for _ in range(SEEDS * ENVS)]
    for step in range(1, STEPS + 1):
        ended = np.array([step % (environment + 2) == 0 for environment in range(SEEDS * ENVS)])
        for own, number in zip(starts, newest[:, 0], strict=True):
            own.append(float(number))
        following = newest + 1.0
        newest = following + ended[:, None]
        buffers = add(
            buffers,
            Transition(
                action=following,
                reward=following[:, 0],
                next_observation=following,
                terminated=ended,
                observation=newest,
                ended=ended,
            ),
        )
    kept = [own[int(oldest) :] for own, oldest in zip(starts, buffers.oldest, strict=True)]
    return buffers, [set().union(*kept[seed * ENVS : (seed + 1) * ENVS]) for seed in range(SEEDS)]


def test_every_stored_transition_of_a_seed_is_drawn_equally_often() -> None:
    buffers, expected = filled()
    assert len(set(np.asarray(buffers.oldest).tolist())) > 1
    draws = 6000
    keys = jax.random.split(jax.random.key(0), SEEDS)
    batch = jax.jit(replay.sample, static_argnums=2)(buffers, keys, draws)
    np.testing.assert_array_equal(batch.next_observation, batch.observation + 1.0)
    np.testing.assert_array_equal(batch.action, batch.next_observation)
    np.testing.assert_array_equal(batch.reward, batch.next_observation[..., 0])
    for seed in range(SEEDS):
        numbers, counts = np.unique(np.asarray(batch.observation[seed]), return_counts=True)
        assert set(numbers.tolist()) == expected[seed]
        share = draws / len(numbers)
        np.testing.assert_allclose(counts, share, atol=5.0 * share**0.5)
