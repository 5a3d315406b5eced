"""Contracts of every preset: an update independent of how it is run, and a state that can be saved."""

from __future__ import annotations

import functools
import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import LearnerState
from surefoot.algorithms.presets import list_presets
from surefoot.training.checkpointing.arrays import arrays_to_tree, tree_to_arrays
from surefoot.types import PyTree, Transition
from tests.algorithms.support import (
    compiled_update,
    every_preset,
    fixed_batch,
    fixed_state,
    learner,
    named_leaves,
    same_bits,
    tiny_preset,
)

pytestmark = pytest.mark.usefixtures("x64")

of_every_preset = pytest.mark.parametrize("name", every_preset())


REPEATED = ("crossq-wn-r", "sr-sac")
"""Presets whose updates are CrossQ + WN's with other values, and SAC's with other values and SimBa's policy."""


def inputs(name: str, seed: int) -> tuple[Any, ...]:
    """Return a seed's state, batch and key; no two seeds share any."""
    state = fixed_state(tiny_preset(name))
    params = jax.tree.map(lambda x: x * (1.0 + 0.1 * seed), state.actor.params)
    state = state._replace(actor=state.actor._replace(params=params), key=jax.random.key(seed))
    return state, fixed_batch(seed), jax.random.key(100 + seed)


def stack(*trees: PyTree) -> PyTree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def of_seed(tree: PyTree, seed: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[seed], tree)


@functools.cache
def alone(name: str, seed: int) -> PyTree:
    """Return the compiled update of one seed."""
    return compiled_update(tiny_preset(name))(*inputs(name, seed), jnp.bool_(True))


@pytest.mark.slow
@pytest.mark.parametrize("name", [preset.name for preset in list_presets() if preset.name not in REPEATED])
def test_compiled_single_seeds_equal_uncompiled_vmap(name: str) -> None:
    """Compares compiled single seeds with a vmap that is not compiled, which tests both contracts."""
    state, batch, key = stack(inputs(name, 0), inputs(name, 1))
    plain = jax.vmap(learner(tiny_preset(name)).update, in_axes=(0, 0, 0, None))(state, batch, key, jnp.bool_(True))
    for seed in (0, 1):
        ours, theirs = named_leaves(of_seed(plain, seed)), named_leaves(alone(name, seed))
        assert ours.keys() == theirs.keys()
        for leaf in ours:
            if ours[leaf].dtype.kind == "f":
                np.testing.assert_allclose(ours[leaf], theirs[leaf], rtol=1e-9, atol=1e-9, err_msg=leaf)
            else:  # keys and counters
                np.testing.assert_array_equal(ours[leaf], theirs[leaf], err_msg=leaf)


@of_every_preset
def test_update_changes_every_parameter_and_keeps_key_and_statistics(name: str) -> None:
    before, (after, critic, actor) = inputs(name, 0)[0], alone(name, 0)
    for network in ("actor", "critic"):
        old, new = (named_leaves(getattr(state, network).params) for state in (before, after))
        assert not [leaf for leaf in old if np.array_equal(old[leaf], new[leaf])]
    assert all(np.isfinite(leaf).all() for leaf in named_leaves((after, critic, actor)).values())
    assert same_bits(before.key, after.key)
    assert (before.observations, before.returns) == (None, None) or same_bits(
        (before.observations, before.returns), (after.observations, after.returns)
    )


@of_every_preset
def test_keys_are_independent_of_the_other_seeds(name: str) -> None:
    functions = learner(tiny_preset(name))

    def keys(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        state = functions.init(key)
        return state.key, functions.reset(state).key

    roots = jnp.stack([jax.random.key(seed) for seed in range(3)])
    together = jax.jit(jax.vmap(keys))(roots)
    for seed in range(3):
        assert same_bits(of_seed(together, seed), jax.jit(keys)(roots[seed]))
    assert len({np.asarray(jax.random.key_data(key)).tobytes() for kind in together for key in kind}) == 6


@pytest.mark.parametrize("name", [preset.name for preset in list_presets()])
def test_state_keeps_shapes_and_dtypes(name: str) -> None:
    with jax.enable_x64(False):
        functions, batch, key = learner(tiny_preset(name)), fixed_batch(), jax.random.key(0)
        observation, ended = batch.observation[0], jnp.bool_(True)
        seen = Transition(batch.action[0], batch.reward[0], observation, ended, observation, ended)
        first = jax.eval_shape(functions.init, key)
        collected = jax.eval_shape(functions.statistics.update, first, seen)
        updated, _, _ = jax.eval_shape(functions.update, collected, batch, key, jnp.bool_(True))
        reset = jax.eval_shape(functions.reset, updated)
    for state in (first, collected, updated, reset):
        assert jax.tree.structure(state) == jax.tree.structure(first)
        for (path, leaf), before in zip(jax.tree.leaves_with_path(state), jax.tree.leaves(first), strict=True):
            where = jax.tree_util.keystr(path)
            assert not leaf.weak_type, where
            assert (leaf.shape, leaf.dtype) == (before.shape, before.dtype), where


@of_every_preset
def test_state_round_trips_through_a_file_bit_for_bit(name: str) -> None:
    state: LearnerState = alone(name, 0)[0]
    file = io.BytesIO()
    np.savez(file, **tree_to_arrays(state))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        loaded = arrays_to_tree(jax.eval_shape(lambda: state), arrays)
    assert jax.tree.structure(loaded) == jax.tree.structure(state)
    assert same_bits(loaded, state)
