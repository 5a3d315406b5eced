"""A network with its optimiser and weight constraint."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from surefoot import networks
from surefoot.algorithms.optimizers import make_optimizer
from surefoot.algorithms.parts import AdamW, FullUnitNorm, L2Penalty, UnitNorm
from surefoot.networks import LayerPath, TorsoConfig
from surefoot.types import Array, PyTree


class NetworkState(NamedTuple):
    """State of a network in training."""

    params: PyTree
    """Trained parameters."""
    batch_stats: PyTree
    """Running statistics of batch normalisation; an empty dict without it."""
    opt_state: PyTree
    """State of the optimiser."""


class TrainedNetwork:
    """An actor, or an ensemble of critics, as pure functions on a ``NetworkState``.

    Args:
        module: Flax module, with its torso's parameters under "torso".
        torso: Configuration of the torso, which lists the hidden layers.
        heads: Paths of the layers after the torso.
        constraint: Weight constraint, or None.
        optimizer: Optimiser's hyperparameters.
        updates_per_agent_step: Optimiser steps per agent step.
        columns: Entries of the observation, its first input, that it receives; None for all.
    """

    def __init__(
        self,
        module: nn.Module,
        torso: TorsoConfig,
        heads: tuple[LayerPath, ...],
        constraint: UnitNorm | FullUnitNorm | L2Penalty | None,
        optimizer: AdamW,
        updates_per_agent_step: float,
        columns: tuple[int, ...] | None = None,
    ) -> None:
        self.module = module
        self._columns = None if columns is None else np.array(columns)
        self.hidden_layers, self.heads = torso.hidden_layers, heads
        self._norms = networks.norm_layers(torso.layers())
        self._constraint = constraint
        self._projected_heads = heads if constraint == UnitNorm("all") else ()
        self._optimizer = make_optimizer(optimizer, updates_per_agent_step, self.hidden_layers)

    def init(self, key: jax.Array, *inputs: jax.Array) -> NetworkState:
        """Return the initial state for inputs of these shapes."""
        variables = self.module.init(key, *self.view(*inputs), False)
        params = self._project(variables["params"])
        return NetworkState(params, variables.get("batch_stats", {}), self._optimizer.init(params))

    def evaluate(self, state: NetworkState, *inputs: Array, key: jax.Array | None = None) -> Any:
        """Return the outputs in evaluation mode; dropout is active if a key is given."""
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return self.module.apply(variables, *self.view(*inputs), False, rngs=_dropout(key))

    def train(self, params: PyTree, batch_stats: PyTree, *inputs: jax.Array, key: jax.Array) -> tuple[Any, PyTree]:
        """Return the outputs in training mode and the updated running statistics."""
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, updated = self.module.apply(
            variables, *self.view(*inputs), True, mutable=["batch_stats"], rngs=_dropout(key)
        )
        return outputs, updated.get("batch_stats", {})

    def view[*Rest](self, observation: Array, *rest: *Rest) -> tuple[Array, *Rest]:
        """Return the module's inputs: the entries of the observations [..., O] that it receives, and the rest."""
        return (observation if self._columns is None else observation[..., self._columns], *rest)

    def step(self, state: NetworkState, grads: PyTree, batch_stats: PyTree) -> NetworkState:
        """Return the state after one optimiser step and the projection, if any."""
        updates, opt_state = self._optimizer.update(grads, state.opt_state, state.params)
        return NetworkState(self._project(optax.apply_updates(state.params, updates)), batch_stats, opt_state)

    def penalty(self, params: PyTree) -> jax.Array | float:
        """Return the penalty on the weights, []."""
        if not isinstance(self._constraint, L2Penalty):
            return 0.0
        return self._constraint.coefficient * jnp.sum(networks.squared_norm(params, self.hidden_layers))

    def _project(self, params: PyTree) -> PyTree:
        if isinstance(self._constraint, FullUnitNorm):
            params = networks.project(params, (), kernel_only=(*self.hidden_layers, *self.heads))
            return networks.project_norms(params, self._norms)
        if not isinstance(self._constraint, UnitNorm):
            return params
        return networks.project(params, self.hidden_layers, kernel_only=self._projected_heads)


def _dropout(key: jax.Array | None) -> dict[str, jax.Array] | None:
    return None if key is None else {"dropout": key}
