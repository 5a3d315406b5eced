"""A small random policy with every kind of layer."""

import numpy as np
import pytest

from tests.flat_spaces import flat_spaces

SEEDS, OBSERVATION, ACTION, WIDTH = [7, 8, 9], 5, 2, 6


def batch_norm(rng, name, width):
    return {
        f"{name}/mean": rng.normal(size=(3, width)),
        f"{name}/var": rng.uniform(0.5, 2, size=(3, width)),
        **layer_norm(rng, name, width),
    }


def layer_norm(rng, name, width):
    return {f"{name}/scale": rng.normal(size=(3, width)), f"{name}/bias": rng.normal(size=(3, width))}


def dense(rng, name, rows, columns):
    return {f"{name}/kernel": rng.normal(size=(3, rows, columns)), f"{name}/bias": rng.normal(size=(3, columns))}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        **batch_norm(rng, "input_norm", OBSERVATION),
        **dense(rng, "dense_0", OBSERVATION, WIDTH),
        **layer_norm(rng, "block/norm", WIDTH),
        "block/dense/kernel": rng.normal(size=(3, WIDTH, WIDTH)),
        **dense(rng, "mean", WIDTH, ACTION),
        **dense(rng, "log_std", WIDTH, ACTION),
    }


@pytest.fixture
def spec():
    return {
        "spaces": flat_spaces(OBSERVATION, [-2.0, 0.1], [1.0, 0.7]),
        "task": "cheetah-run",
        "algorithm": "crossq-wn",
        "env_steps": 1000,
        "seeds": SEEDS,
        "scores": [0.25, 0.75, 0.75],
        "layers": [
            {"op": "batch_norm", "name": "input_norm", "epsilon": 1e-3},
            {"op": "dense", "name": "dense_0"},
            {"op": "relu"},
            {
                "op": "residual",
                "layers": [
                    {"op": "layer_norm", "name": "block/norm", "epsilon": 1e-6},
                    {"op": "dense", "name": "block/dense"},
                ],
            },
            {
                "op": "tanh_gaussian_head",
                "mean": "mean",
                "log_std": "log_std",
                "log_std_min": -10,
                "log_std_max": 2,
                "mapping": "clip",
            },
        ],
    }
