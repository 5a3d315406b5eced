"""Policies of all presets with random parameters, made without compiling or training."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms import Learner
from surefoot.algorithms.presets import get_preset
from surefoot.policy import PolicySpec
from surefoot.spaces import EnvSpaces
from surefoot.training.policy_arrays import policy_arrays, policy_layers
from surefoot.types import EnvSpec
from tests.flat_spaces import flat_spaces

OBSERVATION = 7


def preset_policy(name: str, dtype: str = "float32") -> tuple[PolicySpec, dict[str, np.ndarray]]:
    """Return description and arrays of a policy of two seeds that maps 7 numbers to 2 actions of a dtype."""
    algorithm, rng = get_preset(name), np.random.default_rng(0)
    learner = Learner(algorithm, EnvSpec(OBSERVATION, 2), discount=0.99)
    actor = jax.eval_shape(learner.actor.init, jax.random.key(0), jnp.zeros((1, OBSERVATION)))
    observations = jax.eval_shape(learner.statistics.init_observations)

    def fill(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        return (rng.normal(size=(2, *leaf.shape)) / max(1, leaf.shape[0] if leaf.ndim > 1 else 1) ** 0.5).astype("f4")

    params, statistics, moments = (jax.tree.map(fill, tree) for tree in (actor.params, actor.batch_stats, observations))
    statistics, moments = (jax.tree.map(np.abs, tree) for tree in (statistics, moments))  # variances
    spec = PolicySpec(
        spaces=EnvSpaces.from_data(flat_spaces(OBSERVATION, [-2.0, 0.5], [1.0, 3.5], dtype)),
        task="probe-action",
        algorithm=name,
        env_steps=1_000,
        seeds=(4, 2),
        scores=(None, None),
        layers=policy_layers(algorithm),
    )
    return spec, policy_arrays(actor._replace(params=params, batch_stats=statistics), moments)
