"""Reference update of CrossQ + WN in NumPy, without the library's code.

Written from the formulas for one critic at a time; the tests hold the learner against it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

EPSILON = 1e-3


class Pass(NamedTuple):
    output: np.ndarray
    statistics: dict[str, tuple[np.ndarray, np.ndarray]]
    """Batch mean and biased variance at each normalisation, by name."""


def member(tree: Any, index: int) -> Any:
    """Return one critic's parameters from the ensemble's."""
    if isinstance(tree, dict):
        return {name: member(value, index) for name, value in tree.items()}
    return np.asarray(tree)[index]


def training_pass(params: Any, x: np.ndarray) -> Pass:
    """Return the head's output [B] in training mode and the batch statistics on the way."""
    torso, statistics = params["torso"], {}

    def normalise(x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = x.mean(axis=0), ((x - x.mean(axis=0)) ** 2).mean(axis=0)
        statistics[name] = (mean, variance)
        standard = (x - mean) / np.sqrt(variance + EPSILON)
        return standard * np.asarray(torso[name]["scale"]) + np.asarray(torso[name]["bias"])

    x = normalise(x, "input_norm")
    for i in range(sum(name.startswith("dense_") for name in torso)):
        x = np.maximum(x @ np.asarray(torso[f"dense_{i}"]["kernel"]) + np.asarray(torso[f"dense_{i}"]["bias"]), 0.0)
        x = normalise(x, f"norm_{i}")
    return Pass((x @ np.asarray(params["head"]["kernel"]) + np.asarray(params["head"]["bias"]))[:, 0], statistics)


def adamw_first_step(
    parameter: np.ndarray, gradient: np.ndarray, learning_rate: float, weight_decay: float
) -> np.ndarray:
    """Return the parameter after the first step of AdamW, where bias correction cancels the running means."""
    return parameter - learning_rate * (gradient / (np.abs(gradient) + 1e-8) + weight_decay * parameter)
