"""Independence of the seeds in one program, through warm-up and updates, for three presets."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest

from surefoot.algorithms import Learner
from surefoot.training.population import Population, PopulationState
from tests.algorithms.support import BATCH, DISCOUNT, REPRESENTATIVE, SPEC, double, named_leaves, same_bits, tiny_preset
from tests.algorithms.test_seeds import experience, next_batch, of_seed

pytestmark = pytest.mark.usefixtures("x64")

SEEDS = (3, 8)
UTD = 2


@functools.cache
def shared_population(name: str) -> Population:
    """Return the population of a preset, so that single seeds share their programs."""
    algorithm = tiny_preset(name)
    algorithm = algorithm.replace(utd=UTD, policy_delay=min(2, algorithm.policy_delay))
    return Population(Learner(algorithm, SPEC, DISCOUNT))


def trained(name: str, seeds: tuple[int, ...]) -> tuple[PopulationState, PopulationState, list[np.ndarray]]:
    """Return the states after a warm-up and after two agent steps of updates, and the actions [S, A] of the warm-up."""
    population = shared_population(name)
    start = np.stack([np.random.default_rng((seed, 99)).normal(size=SPEC.observation_size) for seed in seeds])
    observation = start.astype(np.float32)
    state = population.init(seeds, BATCH + 6, BATCH + 12, observation)
    state, action = population.act(state, observation, uniform=True)
    actions = [np.asarray(action)]
    for step in range(BATCH + 1):
        state, action = population.train_step(state, experience(seeds, step), num_updates=0, uniform=True)
        actions.append(np.asarray(action))
    warm = jax.tree.map(lambda leaf: leaf.copy(), state)
    for step in range(2):
        state, _ = population.train_step(double(state), experience(seeds, BATCH + 1 + step), UTD * step)
    return warm, state, actions


@pytest.mark.slow
@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_two_seeds_equal_two_single_seed_runs(name: str) -> None:
    warm, after, actions = trained(name, SEEDS)
    for index, seed in enumerate(SEEDS):
        alone_warm, alone_after, alone_actions = trained(name, (seed,))
        # Keys, episodes and indices bit for bit.
        for ours, theirs in zip(actions, alone_actions, strict=True):
            np.testing.assert_array_equal(ours[index], theirs[0])
        assert same_bits(of_seed(warm.learner.key, index), of_seed(alone_warm.learner.key, 0))
        assert same_bits(of_seed(warm.replay, index), of_seed(alone_warm.replay, 0))
        assert same_bits(next_batch(warm, index), next_batch(alone_warm, 0))
        # Arithmetic, within rounding.
        found: dict[str, Any] = named_leaves(of_seed(after.learner, index))
        for path, leaf in named_leaves(of_seed(alone_after.learner, 0)).items():
            np.testing.assert_allclose(found[path], leaf, rtol=1e-9, atol=1e-9, err_msg=path)
