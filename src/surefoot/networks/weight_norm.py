"""Projections of weights to fixed norms: CrossQ + WN's, after every gradient step, and FlashSAC's.

A dense layer followed by normalisation computes the same function for every positive scale of its weights, while its
gradient shrinks as they grow (arXiv 2502.07523, theorems 4.1 and 4.2): growing weights reduce the effective learning
rate. With unit norm, the optimiser's learning rate is the effective one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp

from surefoot.networks.layers import LayerPath
from surefoot.types import PyTree

_SMALLEST = 1e-12
"""Lower bound on the norm divided by, so that a unit with zero weights stays finite."""


def project(params: PyTree, layers: Iterable[LayerPath], kernel_only: Iterable[LayerPath] = ()) -> PyTree:
    """Return ``params`` with the given layers scaled to unit norm.

    Kernels are [..., inputs, units], biases [..., units]; leading axes are ensembles.

    Args:
        params: Parameters of an actor or of an ensemble of critics.
        layers: Paths of layers where, per output unit, the incoming weights and the bias (if any) together are scaled
            to norm one, as in the authors' code; the paper does not mention the bias.
        kernel_only: Paths of layers where only the incoming weights are scaled.
    """
    for path in layers:
        params = _replace(params, path, _project_layer)
    for path in kernel_only:
        params = _replace(params, path, _project_kernel)
    return params


def project_norms(params: PyTree, layers: Iterable[LayerPath]) -> PyTree:
    """Return ``params`` with the given normalisations' scale and bias (if any) together scaled to norm sqrt(features).

    Arrays are [..., features]; leading axes are ensembles.

    Args:
        params: Parameters of an actor or of an ensemble of critics.
        layers: Paths of normalisations.
    """
    for path in layers:
        params = _replace(params, path, _project_norm)
    return params


def _project_norm(layer: PyTree) -> PyTree:
    squares = sum(jnp.sum(jnp.square(array), axis=-1, keepdims=True) for array in layer.values())
    # The constant is that of FlashSAC's code.
    return {name: array * jnp.sqrt(array.shape[-1] / (squares + 1e-8)) for name, array in layer.items()}


def _project_layer(layer: PyTree) -> PyTree:
    if "bias" not in layer:
        return _project_kernel(layer)
    kernel, bias = layer["kernel"], layer["bias"]
    norm = jnp.sqrt(jnp.sum(jnp.square(kernel), axis=-2) + jnp.square(bias))
    scale = 1.0 / jnp.maximum(norm, _SMALLEST)
    return {"kernel": kernel * scale[..., None, :], "bias": bias * scale}


def _project_kernel(layer: PyTree) -> PyTree:
    norm = jnp.linalg.norm(layer["kernel"], axis=-2, keepdims=True)
    return {**layer, "kernel": layer["kernel"] / jnp.maximum(norm, _SMALLEST)}


def _replace(tree: PyTree, path: LayerPath, function: Callable[[PyTree], PyTree]) -> PyTree:
    if not path:
        return function(tree)
    return {**tree, path[0]: _replace(tree[path[0]], path[1:], function)}


def dense_norm(params: PyTree, layers: Iterable[LayerPath]) -> jax.Array:
    """Return the sum over ``layers`` of the L2 norm of kernel and bias together; leading ensemble axes are kept.

    Args:
        params: Parameters of an actor or of an ensemble of critics.
        layers: Paths of dense layers.
    """
    return sum((_layer_norm(_get(params, path)) for path in layers), start=jnp.zeros(()))


def squared_norm(params: PyTree, layers: Iterable[LayerPath]) -> jax.Array:
    """Return the sum over ``layers`` of the squared L2 norm of kernel and bias; leading ensemble axes are kept.

    Args:
        params: Parameters of an actor or of an ensemble of critics.
        layers: Paths of dense layers.
    """
    return sum((_layer_squares(_get(params, path)) for path in layers), start=jnp.zeros(()))


def _layer_norm(layer: PyTree) -> jax.Array:
    return jnp.sqrt(_layer_squares(layer))


def _layer_squares(layer: PyTree) -> jax.Array:
    squares = jnp.sum(jnp.square(layer["kernel"]), axis=(-2, -1))
    return squares if "bias" not in layer else squares + jnp.sum(jnp.square(layer["bias"]), axis=-1)


def _get(tree: PyTree, path: LayerPath) -> PyTree:
    for name in path:
        tree = tree[name]
    return tree
