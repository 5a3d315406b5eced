"""A trained actor as a policy file: a list of layers that plain NumPy can apply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from surefoot.algorithms import Algorithm, NetworkState
from surefoot.types import PyTree


def policy_layers(algorithm: Algorithm) -> tuple[dict[str, Any], ...]:
    """Return the actor's layers in order, each with the name of its arrays."""
    layers: list[dict[str, Any]] = []
    norm = algorithm.actor.norm

    def normalise(name: str) -> None:
        if norm is not None:
            layers.append({"op": "batch_norm", "name": name, "epsilon": norm.epsilon})

    normalise("torso/input_norm")
    for i in range(len(algorithm.actor.widths)):
        layers.append({"op": "dense", "name": f"torso/dense_{i}"})
        layers.append({"op": "relu"})
        normalise(f"torso/norm_{i}")
    head = algorithm.log_std
    layers.append(
        {
            "op": "tanh_gaussian_head",
            "mean": "mean",
            "log_std": "log_std",
            "log_std_min": head.low,
            "log_std_max": head.high,
            "mapping": head.mapping,
        }
    )
    return tuple(layers)


def policy_arrays(actor: NetworkState) -> dict[str, np.ndarray]:
    """Return the actor's arrays [S, ...] by layer: "torso/dense_0/kernel", "torso/norm_0/mean", ..."""
    return {**_flat(actor.params), **_flat(actor.batch_stats)}


def _flat(tree: PyTree, path: Sequence[str] = ()) -> dict[str, np.ndarray]:
    if not isinstance(tree, dict):
        return {"/".join(path): np.array(tree)}
    return {name: array for key, value in tree.items() for name, array in _flat(value, (*path, key)).items()}
