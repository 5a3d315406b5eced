"""A network and how it is trained: its passes, its optimiser, what holds its weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from surefoot import networks
from surefoot.algorithms.optimizers import make_optimizer
from surefoot.algorithms.parts import AdamW, L2Penalty, UnitNorm
from surefoot.networks import LayerPath, TorsoConfig
from surefoot.types import Array, PyTree


class NetworkState(NamedTuple):
    """A network that is being trained."""

    params: PyTree
    """What is trained."""
    batch_stats: PyTree
    """Running statistics of the batch normalisations; an empty dict where there are none."""
    opt_state: PyTree
    """The optimiser's own state."""


class TrainedNetwork:
    """An actor, or an ensemble of critics, as pure functions on a ``NetworkState``.

    Args:
        module: the Flax module; its torso's parameters are under "torso".
        torso: says which layers are hidden.
        heads: paths of the layers after the torso.
        constraint: what holds the weights, if anything does.
        optimizer: how they move.
        updates_per_agent_step: how often.
    """

    def __init__(
        self,
        module: nn.Module,
        torso: TorsoConfig,
        heads: tuple[LayerPath, ...],
        constraint: UnitNorm | L2Penalty | None,
        optimizer: AdamW,
        updates_per_agent_step: float,
    ) -> None:
        self.module = module
        self.hidden_layers, self.heads = torso.hidden_layers, heads
        self._constraint = constraint
        self._projected_heads = heads if constraint == UnitNorm("all") else ()
        kernels = tuple((*path, "kernel") for path in self._projected_heads)
        self._optimizer = make_optimizer(optimizer, updates_per_agent_step, (*self.hidden_layers, *kernels))

    def init(self, key: jax.Array, *inputs: jax.Array) -> NetworkState:
        """Return a fresh network for inputs of these shapes."""
        variables = self.module.init(key, *inputs, False)
        params = self._project(variables["params"])
        return NetworkState(params, variables.get("batch_stats", {}), self._optimizer.init(params))

    def evaluate(self, state: NetworkState, *inputs: Array, key: jax.Array | None = None) -> Any:
        """Return the outputs under running statistics; dropout is on where a key is given."""
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return self.module.apply(variables, *inputs, False, rngs=_dropout(key))

    def train(self, params: PyTree, batch_stats: PyTree, *inputs: jax.Array, key: jax.Array) -> tuple[Any, PyTree]:
        """Return the outputs under the batch's own statistics, and the running statistics that the pass leaves."""
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, updated = self.module.apply(variables, *inputs, True, mutable=["batch_stats"], rngs=_dropout(key))
        return outputs, updated.get("batch_stats", {})

    def step(self, state: NetworkState, grads: PyTree, batch_stats: PyTree) -> NetworkState:
        """Return the network after one optimiser step and, where there is one, the projection."""
        updates, opt_state = self._optimizer.update(grads, state.opt_state, state.params)
        return NetworkState(self._project(optax.apply_updates(state.params, updates)), batch_stats, opt_state)

    def penalty(self, params: PyTree) -> jax.Array | float:
        """Return what the weights add to the loss, []."""
        if not isinstance(self._constraint, L2Penalty):
            return 0.0
        return self._constraint.coefficient * jnp.sum(networks.squared_norm(params, self.hidden_layers))

    def _project(self, params: PyTree) -> PyTree:
        if not isinstance(self._constraint, UnitNorm):
            return params
        return networks.project(params, self.hidden_layers, kernel_only=self._projected_heads)


def _dropout(key: jax.Array | None) -> dict[str, jax.Array] | None:
    return None if key is None else {"dropout": key}
