"""Weight norms of a learner's networks, as training.csv records them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from surefoot import networks
from surefoot.algorithms import Learner, LearnerState
from surefoot.algorithms.trained_network import TrainedNetwork
from surefoot.types import PyTree


class WeightNorms(NamedTuple):
    """Sum over dense layers of their L2 norms, heads included."""

    critic: jax.Array
    """Mean over the critics."""
    actor: jax.Array


def weight_norms(learner: Learner, state: LearnerState) -> WeightNorms:
    """Return the norms of one seed, all []."""

    def norm(network: TrainedNetwork, params: PyTree) -> jax.Array:
        return networks.dense_norm(params, (*network.hidden_layers, *network.heads))

    critic = norm(learner.critic, state.critic.params)
    return WeightNorms(jnp.mean(critic), norm(learner.actor, state.actor.params))
