"""Exploration noise kept over several decisions: its distribution, its use, and its place in a seed's state."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import HeldNoise, Learner, LearnerState, held_noise
from surefoot.algorithms.held_noise import HeldNoiseState
from surefoot.training.population import Population
from tests.algorithms.support import DISCOUNT, SPEC, fixed_batch, fixed_state, learner, same_bits, tiny, tiny_preset
from tests.algorithms.test_policy_delay import transition

FLASHSAC = tiny_preset("flashsac")
CONFIG = HeldNoise(exponent=2.0, max_decisions=16)


def history(config: HeldNoise, decisions: int) -> HeldNoiseState:
    """Return the states [decisions, ...] of successive decisions."""

    def step(state: HeldNoiseState, key: jax.Array) -> tuple[HeldNoiseState, HeldNoiseState]:
        state = held_noise.advance(config, state, key)
        return state, state

    keys = jax.random.split(jax.random.key(0), decisions)
    return jax.jit(lambda keys: jax.lax.scan(step, held_noise.init_held_noise(2), keys)[1])(keys)


def test_probabilities_by_hand() -> None:
    np.testing.assert_allclose(held_noise.probabilities(HeldNoise(2.0, 3)), np.array([36, 9, 4]) / 49, rtol=1e-6)
    np.testing.assert_allclose(held_noise.probabilities(HeldNoise(0.0, 4)), [0.25] * 4, rtol=1e-6)


def test_noise_is_constant_while_decisions_remain_and_then_new() -> None:
    noise, remaining = (np.asarray(leaf) for leaf in history(CONFIG, 400))
    renewed = np.concatenate([[True], remaining[:-1] == 0])
    assert 1 < renewed.sum() < 400
    assert ((noise[1:] == noise[:-1]).all(axis=1) == ~renewed[1:]).all()
    assert (remaining[1:] == np.where(renewed[1:], remaining[1:], remaining[:-1] - 1)).all()


def test_durations_and_noise_have_their_distributions() -> None:
    noise, remaining = (np.asarray(leaf) for leaf in history(CONFIG, 40_000))
    renewed = np.concatenate([[True], remaining[:-1] == 0])
    durations = remaining[renewed] + 1
    found = np.bincount(durations, minlength=17)[1:] / len(durations)
    np.testing.assert_allclose(found, held_noise.probabilities(CONFIG), atol=4 * 0.5 / len(durations) ** 0.5)
    assert durations.max() == 16
    assert noise[renewed].mean() == pytest.approx(0.0, abs=0.03)
    assert noise[renewed].std() == pytest.approx(1.0, abs=0.03)


def test_action_is_that_of_the_held_noise(x64: None) -> None:
    functions, state = learner(FLASHSAC), fixed_state(FLASHSAC)
    assert state.held_noise is not None
    observation = fixed_batch().observation[0]
    mean, log_std = map(np.asarray, functions.actor.evaluate(state.actor, observation[None]))
    expected = np.tanh(mean + np.exp(log_std) * np.asarray(state.held_noise.noise))[0]
    for key in (0, 1):
        np.testing.assert_allclose(functions.act(state, observation, jax.random.key(key)), expected, rtol=1e-12)


def test_advance_changes_the_held_noise_alone(x64: None) -> None:
    functions, state = learner(FLASHSAC), fixed_state(FLASHSAC)
    moved = functions.advance_noise(state, jax.random.key(1))
    assert not same_bits(moved.held_noise, state.held_noise)
    assert same_bits(moved._replace(held_noise=state.held_noise), state)
    plain = fixed_state(tiny())
    assert learner(tiny()).advance_noise(plain, jax.random.key(1)) is plain


def test_reset_discards_the_held_noise() -> None:
    functions = learner(FLASHSAC)
    state: LearnerState = functions.advance_noise(jax.jit(functions.init)(jax.random.key(0)), jax.random.key(1))
    assert same_bits(jax.jit(functions.reset)(state).held_noise, held_noise.init_held_noise(SPEC.action_size))


@pytest.mark.parametrize("seeds", [1, 3])
def test_population_holds_noise_per_seed_and_not_in_warm_up(seeds: int) -> None:
    population = Population(Learner(tiny(held_noise=HeldNoise(0.0, 16)), SPEC, DISCOUNT))
    observation = transition(seeds).observation
    state = population.init(range(seeds), 20, 30, observation)
    state, _ = population.act(state, observation, uniform=True)
    assert state.learner.held_noise is not None
    assert not np.asarray(state.learner.held_noise.noise).any()
    noises, remaining = [], []
    for _ in range(40):
        state, _ = population.act(state, observation)
        noises.append(np.asarray(state.learner.held_noise.noise))
        remaining.append(np.asarray(state.learner.held_noise.remaining))
    assert np.shape(noises) == (40, seeds, SPEC.action_size)
    for seed in range(seeds):
        changed = [not np.array_equal(a[seed], b[seed]) for a, b in itertools.pairwise(noises)]
        assert changed == [left[seed] == 0 for left in remaining[:-1]]
        assert 0 < sum(changed) < 39
    if seeds > 1:
        assert len({left.tobytes() for left in np.transpose(remaining)}) == seeds


def test_train_step_equals_store_and_act(x64: None) -> None:
    population = Population(Learner(tiny(held_noise=CONFIG), SPEC, DISCOUNT))
    start = population.init([0], 20, 30, transition(1).observation)
    whole, action = population.train_step(jax.tree.map(jnp.copy, start), transition(1), num_updates=0)
    parts, same_action = population.act(
        population.store(start, transition(1), np.array([True])), transition(1).observation
    )
    np.testing.assert_allclose(action, same_action, rtol=1e-5)
    assert whole.learner.held_noise is not None
    assert np.asarray(whole.learner.held_noise.noise).all()
    assert same_bits(whole.learner.held_noise, parts.learner.held_noise)
