"""Functions of one seed mapped over the leading axis S of several, and the axis N of a seed's environments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from surefoot.types import PyTree


def num_seeds(tree: PyTree) -> int:
    """Return the length of the leading axis of a tree, S (or K)."""
    return int(jax.tree.leaves(tree)[0].shape[0])


def over_seeds(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a function of one seed into one of arguments and results with a leading axis S."""

    def mapped(*arguments: Any) -> Any:
        seeds = num_seeds(arguments)
        return expand_seed(each_seed(function, seeds)(*squeeze_seed(arguments)), seeds)

    return mapped


def squeeze_seed(tree: PyTree) -> PyTree:
    """Drop the leading axis S where it is 1."""
    return jax.tree.map(lambda leaf: leaf[0] if leaf.shape[0] == 1 else leaf, tree)


def expand_seed(tree: PyTree, seeds: int) -> PyTree:
    """Add a leading axis S = 1 where there is one seed."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree) if seeds == 1 else tree


def each_seed(function: Callable[..., Any], seeds: int, shared: int = 0) -> Callable[..., Any]:
    """Map over the leading axis of all arguments except the last ``shared`` ones.

    A single seed is not mapped: XLA's batched matrix products on CPU cost about a tenth more than plain ones, even for
    a batch of one. Its arguments come from ``squeeze_seed`` and its results go to ``expand_seed``.
    """
    if seeds == 1:
        return function

    def mapped(*arguments: Any) -> Any:
        axes = (0,) * (len(arguments) - shared) + (None,) * shared
        return jax.vmap(function, in_axes=axes)(*arguments)

    return mapped


def by_seed(tree: PyTree, seeds: int) -> PyTree:
    """Turn a leading axis K into S and N; into S alone where every seed has one environment."""
    return jax.tree.map(lambda leaf: leaf if len(leaf) == seeds else leaf.reshape(seeds, -1, *leaf.shape[1:]), tree)


def repeated(tree: PyTree, num_envs: int) -> PyTree:
    """Return copies along a new leading axis N; the tree itself where N is 1."""
    return tree if num_envs == 1 else jax.tree.map(lambda leaf: jnp.repeat(leaf[None], num_envs, axis=0), tree)
