"""Pytrees to named arrays and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.errors import UserError
from surefoot.types import PyTree


def tree_to_arrays(tree: PyTree) -> dict[str, np.ndarray]:
    """Return the leaves as copies on the host, by their path; random keys as their raw data."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.array(_raw(leaf)) for path, leaf in leaves}


@jax.jit
def copy_tree(tree: PyTree) -> PyTree:
    """Return copies of the leaves on the device, which outlive the donation of the originals."""
    return jax.tree.map(jnp.copy, tree)


def arrays_to_tree(like: PyTree, arrays: Mapping[str, np.ndarray]) -> PyTree:
    """Return a tree with the structure of ``like``, whose leaves are arrays or shapes, and leaves from ``arrays``.

    Raises:
        UserError: The arrays are those of another algorithm, task or version.
    """

    def restore(path: Any, leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path)
        expected = jax.eval_shape(_raw, leaf)
        if (found := arrays.get(name)) is None:
            raise UserError(f"the checkpoint has no array {name}: it was made by another algorithm or version")
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise UserError(
                f"the checkpoint's array {name} is {found.dtype}{list(found.shape)}, "
                f"expected {expected.dtype}{list(expected.shape)}"
            )
        value = jnp.array(found)
        return jax.random.wrap_key_data(value) if _is_key(leaf) else value

    return jax.tree_util.tree_map_with_path(restore, like)


def _is_key(leaf: jax.Array) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf
