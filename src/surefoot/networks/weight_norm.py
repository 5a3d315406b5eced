"""Unit-norm weights: the projection that CrossQ + WN applies after every gradient step.

A dense layer that is followed by normalisation computes the same function for every positive scale of its weights,
while its gradient shrinks as they grow (arXiv 2502.07523, theorems 4.1 and 4.2): growing weights mean a shrinking
effective learning rate. Holding the norm at one keeps the effective learning rate where the optimiser put it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp

from surefoot.networks.mlp import LayerPath
from surefoot.types import PyTree


def project(params: PyTree, layers: Iterable[LayerPath]) -> PyTree:
    """Return ``params`` with each of ``layers`` scaled to unit norm.

    Per output unit, the incoming weights and the bias together have norm one (as in the authors' code; the paper's text
    leaves the bias open). Kernels are [..., inputs, units], biases [..., units]; leading axes are ensembles.

    Args:
        params: a network's parameters.
        layers: paths of the dense layers to project.
    """
    for path in layers:
        params = _replace(params, path, _project_layer)
    return params


def _project_layer(layer: PyTree) -> PyTree:
    kernel, bias = layer["kernel"], layer["bias"]
    norm = jnp.sqrt(jnp.sum(jnp.square(kernel), axis=-2) + jnp.square(bias))
    scale = 1.0 / jnp.maximum(norm, 1e-12)
    return {"kernel": kernel * scale[..., None, :], "bias": bias * scale}


def _replace(tree: PyTree, path: LayerPath, function: Callable[[PyTree], PyTree]) -> PyTree:
    if not path:
        return function(tree)
    return {**tree, path[0]: _replace(tree[path[0]], path[1:], function)}


def dense_norm(params: PyTree, layers: Iterable[LayerPath]) -> jax.Array:
    """Return the sum over ``layers`` of the L2 norm of kernel and bias together; leading ensemble axes are kept.

    Args:
        params: a network's parameters.
        layers: paths of the dense layers to add up.
    """
    return sum((_layer_norm(_get(params, path)) for path in layers), start=jnp.zeros(()))


def _layer_norm(layer: PyTree) -> jax.Array:
    squares = jnp.sum(jnp.square(layer["kernel"]), axis=(-2, -1)) + jnp.sum(jnp.square(layer["bias"]), axis=-1)
    return jnp.sqrt(squares)


def _get(tree: PyTree, path: LayerPath) -> PyTree:
    for name in path:
        tree = tree[name]
    return tree
