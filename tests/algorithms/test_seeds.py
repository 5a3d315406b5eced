"""Independence of seeds in one program: keys, indices, arithmetic, and one seed's NaN."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot import replay
from surefoot.training.population import Population, PopulationState, get_population
from surefoot.types import Batch, PyTree, Transition
from tests.algorithms.support import (
    BATCH,
    DISCOUNT,
    SPEC,
    double,
    named_leaves,
    same_bits,
    tiny,
)
from tests.buffers import sample_one

SEEDS = (0, 1, 2)
ALGORITHM = tiny(policy_delay=1, utd=1)
STEPS = 6


class Warm(NamedTuple):
    """A population after its warm-up."""

    population: Population
    state: PopulationState
    actions: list[np.ndarray]
    """Actions of every step, [S, A]."""


def experience(seeds: tuple[int, ...], step: int) -> Transition:
    """Return the transition of each seed at a step, [S, ...], a function of the seed's number."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng((seed, step))
        ended = step == 3
        observation, first = rng.normal(size=(2, SPEC.observation_size)).astype(np.float32)
        rows.append(
            Transition(
                action=rng.uniform(-1, 1, SPEC.action_size).astype(np.float32),
                reward=np.float32(rng.normal()),
                next_observation=observation,
                terminated=np.bool_(ended),
                observation=first if ended else observation,
                ended=np.bool_(ended),
            )
        )
    return Transition(*map(np.stack, zip(*rows, strict=True)))


def warm_up(seeds: tuple[int, ...]) -> Warm:
    population = get_population(ALGORITHM, SPEC, DISCOUNT, "float32")
    start = np.stack([np.random.default_rng((seed, 99)).normal(size=SPEC.observation_size) for seed in seeds])
    observation = start.astype(np.float32)
    state = population.init(seeds, STEPS + 2, STEPS + 6, observation)
    state, action = population.act(state, observation, uniform=True)
    actions = [np.asarray(action)]
    for step in range(STEPS):
        state, action = population.train_step(state, experience(seeds, step), num_updates=0, uniform=True)
        actions.append(np.asarray(action))
    return Warm(population, state, actions)


def of_seed(tree: PyTree, index: int) -> PyTree:
    return jax.tree.map(lambda x: x[index], tree)


@pytest.fixture(scope="module")
def together() -> Warm:
    return warm_up(SEEDS)


@pytest.fixture(scope="module")
def alone() -> list[Warm]:
    return [warm_up((seed,)) for seed in SEEDS]


def next_batch(state: PopulationState, index: int) -> Batch:
    """Return the next batch of a seed: the key is split in three, and the second is for the indices."""
    _, sample_key, _ = jax.random.split(of_seed(state.learner.key, index), 3)
    return sample_one(of_seed(state.replay, index), sample_key, BATCH)


# -------------------------------------------------------------------- bit for bit


def test_keys_actions_and_replay_equal_single_seed(together: Warm, alone: list[Warm]) -> None:
    for index, single in enumerate(alone):
        assert same_bits(of_seed(together.state.learner.key, index), of_seed(single.state.learner.key, 0))
        assert same_bits(of_seed(together.state.replay, index), of_seed(single.state.replay, 0))
        for ours, theirs in zip(together.actions, single.actions, strict=True):
            np.testing.assert_array_equal(ours[index], theirs[0])


def test_replay_indices_equal_single_seed(together: Warm, alone: list[Warm]) -> None:
    for index, single in enumerate(alone):
        assert same_bits(next_batch(together.state, index), next_batch(single.state, 0))


def test_seeds_draw_different_numbers(together: Warm) -> None:
    for actions in together.actions:
        assert len({row.tobytes() for row in actions}) == len(SEEDS)
        assert np.abs(actions).max() <= 1.0
    assert len({row.tobytes() for row in np.concatenate(together.actions)}) == len(SEEDS) * (STEPS + 1)
    keys = np.asarray(jax.random.key_data(together.state.learner.key))
    assert len({row.tobytes() for row in keys}) == len(SEEDS)


def test_initial_networks_equal_single_seed(together: Warm, alone: list[Warm]) -> None:
    for index, single in enumerate(alone):
        ours = named_leaves(of_seed(together.state.learner, index))
        for name, leaf in named_leaves(of_seed(single.state.learner, 0)).items():
            np.testing.assert_allclose(ours[name], leaf, atol=1e-5, err_msg=name)


# -------------------------------------------------------------------- one update, in float64


def train(
    population: Population, state: PopulationState, seeds: tuple[int, ...] = SEEDS, last: Transition | None = None
) -> tuple[PopulationState, jax.Array]:
    """Take one agent step with its update from a copy of the state, in float64."""
    last = experience(seeds, STEPS) if last is None else last
    with jax.enable_x64(True):
        own = jax.tree.map(lambda x: x.copy(), state)
        return population.train_step(double(own), double_inputs(last), 0)


def double_inputs(transition: Transition) -> Transition:
    return Transition(*(x.astype(np.float64) if x.dtype == np.float32 else x for x in transition))


def test_update_equals_single_seed(together: Warm, alone: list[Warm]) -> None:
    """Initial networks may differ in the last bit of float32, so single seeds start from the same state."""
    ours, our_actions = train(together.population, together.state)
    for index, seed in enumerate(SEEDS):
        start = jax.tree.map(lambda x, i=index: x[i : i + 1], together.state)
        theirs, their_actions = train(alone[0].population, start, (seed,))
        mine = named_leaves(of_seed(ours, index))
        for name, leaf in named_leaves(of_seed(theirs, 0)).items():
            np.testing.assert_allclose(mine[name], leaf, rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(our_actions[index], their_actions[0], rtol=1e-9, atol=1e-9)
        assert same_bits(of_seed(ours.learner.key, index), of_seed(theirs.learner.key, 0))


def test_each_seed_uses_its_own_batch(together: Warm) -> None:
    """Where every transition is terminal, the target is the reward, and its mean identifies the batch."""
    ended = np.ones(len(SEEDS), bool)
    last = experience(SEEDS, STEPS)._replace(terminated=ended, ended=ended)
    buffers = together.state.replay
    buffers = buffers._replace(terminated=jnp.ones_like(buffers.terminated))
    after, _ = train(together.population, together.state._replace(replay=buffers), last=last)
    with jax.enable_x64(True):
        full = together.state._replace(replay=jax.vmap(replay.add)(buffers, last))
        means = [float(next_batch(full, index).reward.mean(dtype=jnp.float64)) for index in range(len(SEEDS))]
    np.testing.assert_allclose(after.metrics.critic.target_mean, means, rtol=1e-12)
    assert len(set(means)) == len(SEEDS)


# -------------------------------------------------------------------- one seed's NaN


def poison(state: PopulationState, where: str, index: int) -> PopulationState:
    if where == "replay":
        return state._replace(replay=state.replay._replace(frames=state.replay.frames.at[index].set(jnp.nan)))
    network = getattr(state.learner, where)
    params = jax.tree.map(lambda x: x.at[index].set(jnp.nan), network.params)
    return state._replace(learner=state.learner._replace(**{where: network._replace(params=params)}))


@pytest.mark.parametrize("where", ["critic", "actor", "replay"])
def test_nan_in_one_seed_does_not_change_others(together: Warm, where: str) -> None:
    healthy, healthy_actions = train(together.population, together.state)
    ill, ill_actions = train(together.population, poison(together.state, where, 1))
    assert np.isnan(np.asarray(ill.metrics.critic.critic_loss)[1])
    for index in (0, 2):
        assert same_bits(of_seed(healthy, index), of_seed(ill, index))
        np.testing.assert_array_equal(healthy_actions[index], ill_actions[index])
        assert all(np.isfinite(leaf).all() for leaf in named_leaves(of_seed(ill, index)).values())
