"""Small learners, compiled updates and fixed data, shared to save compilation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import (
    ActorMetrics,
    Algorithm,
    CategoricalCrossEntropy,
    CriticMetrics,
    Learner,
    LearnerState,
    QuantileHuber,
    UnitNorm,
)
from surefoot.algorithms.presets import crossq_wn, get_preset, list_presets
from surefoot.networks import MLP, BatchRenorm, BroNet, FlashSACNet, SimBaNet, TorsoConfig
from surefoot.types import Batch, EnvSpec, PyTree

SPEC = EnvSpec(observation_size=3, action_size=2)
DISCOUNT = 0.9
BATCH = 8
ACTOR_WIDTHS, CRITIC_WIDTHS = (12, 10), (16, 14)
UNIFORM_WIDTHS = (6, 6)

REPRESENTATIVE = ("crossq-2024", "bro", "xqc")
"""Presets that together use most parts."""

type Update = Callable[..., tuple[LearnerState, CriticMetrics, ActorMetrics]]


def tiny(algorithm: Algorithm | None = None, **changes: Any) -> Algorithm:
    """Return the composition (CrossQ + WN) with small networks, a small batch and large steps.

    Every kind of part stays: distributions keep some numbers, ensembles some critics, residual torsos a block.
    """
    algorithm = crossq_wn() if algorithm is None else algorithm
    optimism, loss = algorithm.optimism, algorithm.critic_loss
    if isinstance(loss, QuantileHuber):
        loss = dataclasses.replace(loss, num_quantiles=5)
    if isinstance(loss, CategoricalCrossEntropy):
        loss = dataclasses.replace(loss, num_atoms=7)
    return algorithm.replace(
        actor=small_torso(algorithm.actor, ACTOR_WIDTHS),
        critic=small_torso(algorithm.critic, CRITIC_WIDTHS),
        num_critics=min(algorithm.num_critics, 3),
        critic_loss=loss,
        optimism=optimism and dataclasses.replace(optimism, torso=small_torso(optimism.torso, ACTOR_WIDTHS)),
        critic_optimizer=dataclasses.replace(algorithm.critic_optimizer, learning_rate=1e-2),
        actor_optimizer=dataclasses.replace(algorithm.actor_optimizer, learning_rate=1e-2),
        batch_size=BATCH,
        warmup_transitions=BATCH,
    ).replace(**changes)


def every_preset() -> list[Any]:
    """Return the presets' names as pytest parameters; all but one are in the slow tier."""
    names = [preset.name for preset in list_presets()]
    return [pytest.param(name, marks=[] if name == "xqc" else pytest.mark.slow) for name in names]


@functools.cache
def tiny_preset(name: str) -> Algorithm:
    """Return a preset with its own learning rates and with equal layers.

    What is computed step by step then has few shapes to compile.
    """
    algorithm = get_preset(name)
    small: dict[str, Any] = {
        "critic_optimizer": algorithm.critic_optimizer,
        "actor_optimizer": algorithm.actor_optimizer,
        "actor": small_torso(algorithm.actor, UNIFORM_WIDTHS),
        "critic": small_torso(algorithm.critic, UNIFORM_WIDTHS),
    }
    if algorithm.optimism is not None:
        torso = small_torso(algorithm.optimism.torso, UNIFORM_WIDTHS)
        small["optimism"] = dataclasses.replace(algorithm.optimism, torso=torso)
    return tiny(algorithm, **small)


def small_torso(torso: TorsoConfig, widths: tuple[int, ...]) -> TorsoConfig:
    """Return a torso of the same kind, two layers deep or one block long."""
    match torso:
        case MLP(norm=BatchRenorm()):
            # The first pass is plain batch normalisation, the second is not.
            return dataclasses.replace(torso, widths=widths, norm=dataclasses.replace(torso.norm, warmup_updates=1))
        case MLP():
            return dataclasses.replace(torso, widths=widths)
        case BroNet():
            return dataclasses.replace(torso, width=widths[0], blocks=1)
        case SimBaNet() | FlashSACNet():
            return dataclasses.replace(torso, width=widths[0], blocks=1, expansion=2)


@functools.cache
def learner(algorithm: Algorithm) -> Learner:
    return Learner(algorithm, SPEC, DISCOUNT)


@functools.cache
def compiled_update(algorithm: Algorithm) -> Update:
    return jax.jit(learner(algorithm).update)


@functools.cache
def compiled_init(algorithm: Algorithm) -> Callable[[jax.Array], LearnerState]:
    return jax.jit(learner(algorithm).init)


def fresh_state(algorithm: Algorithm, seed: int = 0) -> LearnerState:
    """Return the learner's own initial state, in float32."""
    return compiled_init(algorithm)(jax.random.key(seed))


def double(tree: PyTree) -> PyTree:
    """Return a tree with its floating-point leaves in float64."""
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def fixed_state(algorithm: Algorithm) -> LearnerState:
    """Return a float64 state in which no two numbers are equal, made with NumPy.

    Parameters are small and of mixed sign, variances positive; the target differs from the critic. Hidden layers have
    unit norm where the algorithm requires it. Optimisers are fresh.
    """
    rng = np.random.default_rng(7)
    shapes = jax.eval_shape(learner(algorithm).init, jax.random.key(0))

    def fill(path: tuple[Any, ...], leaf: Any) -> np.ndarray | jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(3)
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or "opt_state" in jax.tree_util.keystr(path):
            return np.zeros(leaf.shape, np.float64 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype)
        name = jax.tree_util.keystr(path)
        if name.endswith(("['var']", "['scale']", ".variance", ".weight", ".largest")):
            return np.asarray(rng.uniform(0.5, 1.5, leaf.shape))
        if name.endswith(".optimist.weights"):
            return np.array([0.1, -0.05])  # of an exponential of up to e^7.5
        return np.asarray(0.4 * rng.normal(size=leaf.shape))

    state = jax.tree_util.tree_map_with_path(fill, shapes)
    constraint = algorithm.weight_constraint
    if isinstance(constraint, UnitNorm):
        state = state._replace(
            actor=state.actor._replace(params=_unit_norm(state.actor.params, constraint)),
            critic=state.critic._replace(params=_unit_norm(state.critic.params, constraint)),
        )
    return jax.tree.map(jnp.asarray, state)


def next_action_key(update_key: jax.Array) -> jax.Array:
    """Return the key of an update's next actions."""
    critic_key, _, _ = jax.random.split(update_key, 3)
    return jax.random.split(critic_key, 4)[0]


def fixed_batch(seed: int = 0, size: int = BATCH) -> Batch:
    """Return a float64 batch whose first transition is terminal; next observations are distributed differently."""
    rng = np.random.default_rng(seed)
    return Batch(
        observation=jnp.asarray(rng.normal(size=(size, SPEC.observation_size))),
        action=jnp.asarray(rng.uniform(-1.0, 1.0, (size, SPEC.action_size))),
        reward=jnp.asarray(rng.normal(size=size)),
        next_observation=jnp.asarray(1.0 + 2.0 * rng.normal(size=(size, SPEC.observation_size))),
        terminated=jnp.asarray((np.arange(size) == 0).astype(np.float64)),
    )


def named_leaves(tree: PyTree) -> dict[str, np.ndarray]:
    """Return the leaves as NumPy arrays by their path, random keys as their data."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        raw = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        leaves[jax.tree_util.keystr(path)] = np.asarray(raw)
    return leaves


def same_bits(a: PyTree, b: PyTree) -> bool:
    """Return whether two trees are equal bit for bit (NaN equals NaN)."""
    left, right = named_leaves(a), named_leaves(b)
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


def _unit_norm(params: PyTree, constraint: UnitNorm) -> PyTree:
    def unit(layer: PyTree, kernel_only: bool = False) -> PyTree:
        bias = layer.get("bias")
        squares = np.sum(np.square(layer["kernel"]), axis=-2, keepdims=True)
        if bias is None or kernel_only:
            return {**layer, "kernel": layer["kernel"] / np.sqrt(squares)}
        norm = np.sqrt(squares + np.square(bias)[..., None, :])
        return {"kernel": layer["kernel"] / norm, "bias": bias / norm[..., 0, :]}

    torso = {name: unit(layer) if name.startswith("dense") else layer for name, layer in params["torso"].items()}
    heads = {name: layer for name, layer in params.items() if name != "torso"}
    if constraint.layers == "all":
        heads = {name: unit(layer, kernel_only=True) for name, layer in heads.items()}
    return {**heads, "torso": torso}
