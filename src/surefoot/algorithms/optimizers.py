"""Optimisers as Optax chains."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import optax

from surefoot.algorithms.parts import AdamW, CosineDecay, LinearDecay
from surefoot.networks import LayerPath
from surefoot.types import PyTree


def make_optimizer(
    config: AdamW, updates_per_agent_step: float, hidden_layers: Iterable[LayerPath] = ()
) -> optax.GradientTransformation:
    """Return the Optax transformation.

    Args:
        config: Hyperparameters.
        updates_per_agent_step: Optimiser steps per agent step, which convert a schedule's agent steps.
        hidden_layers: Paths of the layers excluded from decay under "outside-hidden".
    """
    learning_rate = _schedule(config.learning_rate, updates_per_agent_step)
    if config.weight_decay == 0.0:
        return optax.adam(learning_rate, b1=config.b1, b2=config.b2)
    undecayed = frozenset(hidden_layers) if config.decay == "outside-hidden" else frozenset()

    def decays(params: PyTree) -> PyTree:
        def one(path: tuple[jax.tree_util.KeyEntry, ...], _: jax.Array) -> bool:
            return _keys(path)[:-1] not in undecayed

        return jax.tree_util.tree_map_with_path(one, params)

    return optax.adamw(learning_rate, config.b1, config.b2, weight_decay=config.weight_decay, mask=decays)


def _schedule(rate: float | LinearDecay | CosineDecay, updates_per_agent_step: float) -> optax.ScalarOrSchedule:
    if isinstance(rate, float):
        return rate
    updates = max(1, round(rate.agent_steps * updates_per_agent_step))
    if isinstance(rate, LinearDecay):
        return optax.linear_schedule(rate.initial, rate.final, updates)
    return optax.cosine_decay_schedule(rate.initial, updates, alpha=rate.final / rate.initial)


def _keys(path: tuple[jax.tree_util.KeyEntry, ...]) -> LayerPath:
    return tuple(str(entry.key) for entry in path if isinstance(entry, jax.tree_util.DictKey))
