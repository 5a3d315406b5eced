"""The one call per agent step works in place."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import surefoot
from surefoot import replay
from surefoot.algorithms import Learner
from surefoot.training.population import Population
from surefoot.types import EnvSpec, Transition
from tests.training.small import small

SPEC = EnvSpec(17, 6)
CAPACITY = 50_000


@pytest.mark.parametrize("call", ["_store", "_store_and_act", "_train", "_learn"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_replay_ring_is_copied(seeds: int, call: str) -> None:
    frames = replay.frame_capacity(CAPACITY, 500)
    learner = Learner(small(surefoot.crossq_wn(utd=2)), SPEC, 0.99)
    population = Population(learner, range(seeds), CAPACITY, frames)
    observation = np.zeros((seeds, 17), np.float32)
    state, action = jax.eval_shape(population.init, observation)
    no = np.zeros(seeds, bool)
    transition = Transition(np.zeros(action.shape, np.float32), no.astype(np.float32), observation, no, observation, no)
    more = (np.int32(0),) if call == "_train" else ()
    if call == "_learn":
        # The buffers are only read.
        memory = population._learn.lower(state.learner, state.metrics, state.replay, np.int32(0)).compile()
        assert memory.memory_analysis().temp_size_in_bytes < state.replay.actions.size * 4
        return
    memory = getattr(population, call).lower(state, transition, *more).compile().memory_analysis()
    # The smallest of the larger rings: a copy of any of them would not fit into this.
    assert memory.temp_size_in_bytes < state.replay.actions.size * 4
    # Donated: the new state lies where the old one was.
    assert memory.alias_size_in_bytes > state.replay.frames.size * 4
