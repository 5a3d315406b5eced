"""Population API: in-place calls, shared programs, fused and separate steps."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import surefoot
from surefoot import replay
from surefoot.algorithms import Learner
from surefoot.training.population import Population, PopulationState, get_population
from surefoot.types import EnvSpec, Transition
from tests.training.small import small

SPEC = EnvSpec(2, 1)
CAPACITY = 50_000


def noise(seeds: int, step: int = 0, ended: bool = False) -> Transition:
    rng = np.random.default_rng(step)
    observation = rng.normal(size=(seeds, SPEC.observation_size)).astype(np.float32)
    return Transition(
        action=rng.uniform(-1, 1, (seeds, SPEC.action_size)).astype(np.float32),
        reward=rng.normal(size=seeds).astype(np.float32),
        next_observation=observation,
        terminated=np.zeros(seeds, bool),
        observation=observation + ended,
        ended=np.full(seeds, ended),
    )


@pytest.mark.parametrize("seeds", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_no_call_copies_a_replay_ring(seeds: int) -> None:
    frames = replay.frame_capacity(CAPACITY, 500)
    population = Population(Learner(small(surefoot.crossq_wn(utd=2)), SPEC, 0.99))
    state: PopulationState = jax.eval_shape(lambda: population.init(range(seeds), CAPACITY, frames))
    transition, yes, zero = noise(seeds), np.ones(seeds, bool), np.int32(0)
    writing = {
        "store": population.programs.store.lower(state.replay, state.learner, transition, yes),
        "start": population.programs.start_episodes.lower(state.replay, state.learner, transition.observation, yes),
        "warm-up step": population.programs.train_step.lower(state, transition, zero, 0, True),
        "train step": population.programs.train_step.lower(state, transition, zero, 2, False),
    }
    reading = {"update": population.programs.update.lower(state.learner, state.metrics, state.replay, zero, 2)}
    for name, lowered in (writing | reading).items():
        memory = lowered.compile().memory_analysis()
        # A copy of the smallest of the larger rings would not fit into this.
        assert memory.temp_size_in_bytes < state.replay.actions.size * 4, name
        if name in writing:
            assert memory.alias_size_in_bytes > state.replay.frames.size * 4, f"{name} does not write in place"


@pytest.mark.parametrize("seeds", [pytest.param((3,), marks=pytest.mark.slow), (3, 7)])
def test_separate_calls_equal_the_fused_step(seeds: tuple[int, ...]) -> None:
    population = get_population(small(surefoot.crossq_wn(utd=2)), SPEC, 0.9, "float32")
    first = np.zeros((len(seeds), SPEC.observation_size), np.float32)
    fused, separate = (population.init(seeds, 150, 171, first) for _ in range(2))
    for step in range(3):
        transition = noise(len(seeds), step, ended=step == 1)
        fused, fused_action = population.train_step(fused, transition, 2 * step)
        separate = population.store(separate, transition, np.ones(len(seeds), bool))
        separate = population.update(separate, 2 * step)
        separate, action = population.act(separate, transition.observation)
        np.testing.assert_array_equal(action, fused_action)
    jax.tree.map(np.testing.assert_array_equal, _raw(separate), _raw(fused))


def _raw(state: PopulationState) -> PopulationState:
    return state._replace(learner=state.learner._replace(key=jax.random.key_data(state.learner.key)))


def test_equal_runs_share_traces() -> None:
    algorithm = small(surefoot.sac(utd=1))
    population = get_population(algorithm, SPEC, 0.99, "float32")
    assert get_population(algorithm.replace(), SPEC, 0.99, "float32") is population
    for seed in (0, 5):
        state = population.init([seed], 100, 120, np.zeros((1, SPEC.observation_size), np.float32))
        population.train_step(state, noise(1), num_updates=0)
    programs: tuple[Any, ...] = (population.programs.train_step, population.programs._init)
    assert [program._cache_size() for program in programs] == [1, 1]
