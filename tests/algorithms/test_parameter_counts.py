"""Exact numbers of parameters, as counted from the authors' networks."""

from __future__ import annotations

import math

import jax
import pytest

from surefoot.algorithms import Learner
from surefoot.algorithms.presets import crossq_wn
from surefoot.types import EnvSpec, PyTree


def count(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("task", "observation", "action", "trained"),
    [("cheetah", 17, 6, 629_644), ("humanoid", 67, 21, 717_074), ("dog", 223, 38, 943_904)],
)
def test_trained_parameters_of_crossq_wn(task: str, observation: int, action: int, trained: int) -> None:
    learner = Learner(crossq_wn(), EnvSpec(observation, action), 0.99)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    assert count((state.actor.params, state.critic.params)) == trained
    assert count(state.target_critic) == count(state.critic.params)
    if task == "cheetah":
        assert count((state.actor.params, state.critic.params, state.target_critic)) == 1_184_746
