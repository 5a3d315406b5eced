"""Layers and arrays of a trained actor for the policy file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from surefoot.algorithms import Algorithm, DeterministicPolicy, NetworkState, TanhGaussian
from surefoot.algorithms.policies import Policy
from surefoot.algorithms.statistics import Moments
from surefoot.networks import LayerNorm, RMSNorm
from surefoot.networks.layers import Dense, Dropout, Layer, Normalize, Relu, Residual
from surefoot.types import PyTree

_OBSERVATION_NORM = "observation_norm"


def policy_layers(algorithm: Algorithm) -> tuple[dict[str, Any], ...]:
    """Return the actor's layers in order, each with the name of its arrays."""
    before: list[dict[str, Any]] = []
    if (norm := algorithm.observation_norm) is not None:
        before.append({"op": "batch_norm", "name": _OBSERVATION_NORM, "epsilon": norm.epsilon})
    return (*before, *_operations(algorithm.actor.layers()), _head(algorithm.policy))


def _operations(layers: tuple[Layer, ...]) -> Iterator[dict[str, Any]]:
    for layer in layers:
        match layer:
            case Dense():
                yield {"op": "dense", "name": f"torso/{layer.name}"}
            case Relu():
                yield {"op": "relu"}
            case Normalize(norm=LayerNorm()):
                yield {"op": "layer_norm", "name": f"torso/{layer.name}", "epsilon": layer.norm.epsilon}
            case Normalize(norm=RMSNorm()):
                yield {"op": "rms_norm", "name": f"torso/{layer.name}", "epsilon": layer.norm.epsilon}
            case Normalize():
                # With running statistics, batch renormalisation is batch normalisation.
                yield {"op": "batch_norm", "name": f"torso/{layer.name}", "epsilon": layer.norm.epsilon}
            case Residual():
                yield {"op": "residual", "layers": list(_operations(layer.layers))}
            case Dropout():
                pass


def _head(policy: Policy) -> dict[str, Any]:
    match policy:
        case TanhGaussian(log_std=log_std):
            return {
                "op": "tanh_gaussian_head",
                "mean": "mean",
                "log_std": "log_std",
                "log_std_min": log_std.low,
                "log_std_max": log_std.high,
                "mapping": log_std.mapping,
            }
        case DeterministicPolicy():
            return {"op": "tanh_head", "mean": "mean"}


def policy_arrays(
    actor: NetworkState, observations: Moments | None = None, columns: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """Return the policy's arrays [S, ...] by layer: "torso/dense_0/kernel", "torso/norm_0/mean", ...

    Args:
        actor: Network of the policy.
        observations: Running statistics of the observations; None without observation normalisation.
        columns: Entries of the observation that the policy receives; None for all.
    """
    arrays = {**_flat(actor.params), **_flat(actor.batch_stats)}
    # The update count of batch renormalisation only affects training.
    arrays = {name: array for name, array in arrays.items() if not name.endswith("/passes")}
    if observations is not None:
        seen = slice(None) if columns is None else np.array(columns)
        mean, variance = (np.array(array)[:, seen] for array in (observations.mean, observations.variance))
        own = {"mean": mean, "var": variance, "scale": np.ones_like(mean), "bias": np.zeros_like(mean)}
        arrays |= {f"{_OBSERVATION_NORM}/{name}": np.array(array) for name, array in own.items()}
    return arrays


def _flat(tree: PyTree, path: Sequence[str] = ()) -> dict[str, np.ndarray]:
    if not isinstance(tree, dict):
        return {"/".join(path): np.array(tree)}
    return {name: array for key, value in tree.items() for name, array in _flat(value, (*path, key)).items()}
