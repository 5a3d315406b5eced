"""Norms, effective learning rates, dead units and features of one seed's networks, on one batch.

Definitions: *Scaling Off-Policy Reinforcement Learning with Batch and Weight Normalization* (arXiv 2502.07523), section
on weight norms and effective learning rates. A layer is a dense layer with kernel and bias, without normalisations.
Values are averaged over the critics.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from surefoot.algorithms import Learner, LearnerState
from surefoot.algorithms.trained_network import NetworkState, TrainedNetwork
from surefoot.networks import LayerPath
from surefoot.networks.matmul import matmul_precision
from surefoot.types import Batch, PyTree

type ByLayer = dict[str, jax.Array]
"""A value [] per dense layer, by its path such as "torso/dense_0"."""


class NetworkDiagnostics(NamedTuple):
    """Diagnostics of one network, or the average over an ensemble; all []."""

    weight_norm: ByLayer
    """L2 norm of each layer."""
    weight_norm_sum: jax.Array
    """Sum over the layers (T1's weight norm)."""
    gradient_norm: ByLayer
    """L2 norm of each layer's gradient."""
    gradient_norm_total: jax.Array
    """L2 norm of the whole network's gradient, normalisations included."""
    effective_learning_rate: ByLayer
    """Gradient norm over weight norm of each layer, without the optimiser's learning rate."""
    effective_learning_rate_mean: jax.Array
    """Mean over the layers, weighted by their number of parameters."""
    dead_units: jax.Array
    """Fraction of the hidden units that are zero on the whole batch."""
    feature_norm: jax.Array
    """Mean over the batch of the L2 norm of the torso's output."""


@matmul_precision("float32")
def diagnose_critic(learner: Learner, state: LearnerState, batch: Batch, key: jax.Array) -> NetworkDiagnostics:
    """Return the diagnostics of one seed's critics.

    Args:
        learner: Learner of one seed.
        state: State of one seed.
        batch: [B, ...], as sampled from the replay buffer.
        key: Random key of the loss.
    """
    batch = learner.statistics.preprocess(state, batch)
    grads, _ = jax.grad(learner.critic_loss, has_aux=True)(state.critic.params, state, batch, key)
    activations = _activations(learner.critic, state.critic, batch.observation, batch.action)
    measured = jax.vmap(functools.partial(_measure, learner.critic))(state.critic.params, grads, activations)
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), measured)


@matmul_precision("float32")
def diagnose_actor(learner: Learner, state: LearnerState, batch: Batch, key: jax.Array) -> NetworkDiagnostics:
    """Return the diagnostics of one seed's policy.

    Args:
        learner: Learner of one seed.
        state: State of one seed.
        batch: [B, ...], as sampled from the replay buffer.
        key: Random key of the loss.
    """
    batch = learner.statistics.preprocess(state, batch)
    grads, _ = jax.grad(learner.actor_loss, has_aux=True)(state.actor.params, state, batch, key)
    activations = _activations(learner.actor, state.actor, batch.observation)
    return _measure(learner.actor, state.actor.params, grads, activations)


def _activations(network: TrainedNetwork, state: NetworkState, *inputs: jax.Array) -> PyTree:
    """Return the outputs of the activations in evaluation mode, by layer; with a leading axis C for critics."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    _, collected = network.module.apply(variables, *network.view(*inputs), False, mutable=["activations"])
    return collected["activations"]["torso"]


def _measure(network: TrainedNetwork, params: PyTree, grads: PyTree, activations: PyTree) -> NetworkDiagnostics:
    paths = (*network.hidden_layers, *network.heads)
    weight_norm = _by_layer(paths, params, optax.tree.norm)
    gradient_norm = _by_layer(paths, grads, optax.tree.norm)
    sizes = _by_layer(paths, params, lambda layer: jnp.float32(sum(leaf.size for leaf in jax.tree.leaves(layer))))
    effective = {name: gradient_norm[name] / weight_norm[name] for name in weight_norm}
    weighted = sum((effective[name] * sizes[name] for name in effective), start=jnp.zeros(()))
    hidden = [values for name, (values,) in activations.items() if name != "features"]
    dead = sum(jnp.sum(jnp.all(values <= 0.0, axis=0)) for values in hidden)
    (features,) = activations["features"]
    return NetworkDiagnostics(
        weight_norm=weight_norm,
        weight_norm_sum=sum(weight_norm.values(), start=jnp.zeros(())),
        gradient_norm=gradient_norm,
        gradient_norm_total=optax.tree.norm(grads),
        effective_learning_rate=effective,
        effective_learning_rate_mean=weighted / sum(sizes.values()),
        dead_units=jnp.asarray(dead / max(1, sum(values.shape[-1] for values in hidden))),
        feature_norm=jnp.mean(jnp.linalg.norm(features, axis=-1)),
    )


def _by_layer(paths: tuple[LayerPath, ...], tree: PyTree, measure: Callable[[Any], jax.Array]) -> ByLayer:
    measured = {}
    for path in paths:
        layer = tree
        for name in path:
            layer = layer[name]
        measured["/".join(path)] = measure(layer)
    return measured
