"""A synthetic run of two seeds, with initial actors whose statistics and biases are perturbed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import Learner, NetworkState, to_data
from surefoot.policy import PolicySpec, save_policy
from surefoot.runs import EVALUATION_COLUMNS, RunDirectory
from surefoot.training.checkpointing.arrays import tree_to_arrays
from surefoot.training.policy_arrays import policy_arrays, policy_layers
from surefoot.types import EnvSpec
from tests.flat_spaces import env_spaces
from tests.training.small import small

OBSERVATION, ACTION, SEEDS, ENV_STEPS = 5, 2, (3, 4), 2_000
LOW, HIGH = (-2.0, 0.1), (1.0, 0.7)

MakeRun = Callable[..., Path]


def perturbed(actor: NetworkState, rng: np.random.Generator) -> NetworkState:
    """Return actors [S] with statistics and biases that differ from their initial values."""

    def perturb(path: Any, leaf: jax.Array) -> np.ndarray:
        name = path[-1].key
        if name == "var":
            return rng.uniform(0.1, 4.0, leaf.shape).astype(np.float32)
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        return np.asarray(leaf) + {"kernel": 0.0, "scale": 0.3}.get(name, 1.0) * noise

    params, stats = (jax.tree_util.tree_map_with_path(perturb, tree) for tree in (actor.params, actor.batch_stats))
    return actor._replace(params=params, batch_stats=stats)


@pytest.fixture(scope="session")
def actors() -> NetworkState:
    """Return the actors [S] of both seeds."""
    learner = Learner(small(surefoot.crossq_wn()), EnvSpec(OBSERVATION, ACTION), 0.99)
    keys = jax.random.split(jax.random.key(0), len(SEEDS))
    return perturbed(jax.jit(jax.vmap(learner.init))(keys).actor, np.random.default_rng(0))


@pytest.fixture
def make_run(tmp_path: Path, actors: NetworkState) -> MakeRun:
    """Factory of runs; ``change`` modifies the policy's arrays but not the checkpoint's."""

    def make(
        change: Callable[[dict[str, np.ndarray]], None] = lambda arrays: None,
        scores: tuple[float | None, ...] = (0.25, 0.75),
        offset: float = 0.0,
        low: tuple[float, ...] = LOW,
        high: tuple[float, ...] = HIGH,
    ) -> Path:
        algorithm = small(surefoot.crossq_wn())
        run = RunDirectory.create(tmp_path / "run", _config(to_data(algorithm)))
        spaces = env_spaces({"position": [3], "velocity": [OBSERVATION - 3]}, low, high)
        rng = np.random.default_rng(1)
        frames = (offset + rng.normal(size=(30, OBSERVATION))).astype(np.float32)
        segment = run.checkpoints.write_segment(0, 14, {"frames": frames, "frame_count": np.array([10, 20])})
        run.checkpoints.save(
            ENV_STEPS,
            {
                "learner": {f".actor{name}": array for name, array in tree_to_arrays(actors).items()},
                "loop": {"observation": frames[:2], "diverged": np.zeros(2, bool)},
            },
            {"spaces": spaces.to_data()},
            [segment],
        )
        arrays = policy_arrays(actors)
        change(arrays)
        spec = PolicySpec(
            spaces=spaces,
            task="cheetah-run",
            algorithm=algorithm.name,
            env_steps=ENV_STEPS,
            seeds=SEEDS,
            scores=scores,
            layers=policy_layers(algorithm),
        )
        save_policy(run.policy_path, spec, arrays)
        _write_evaluations(run.path / "evaluations.csv")
        return run.path

    return make


def _config(algorithm: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": "cheetah-run",
        "suite": "dmc",
        "algorithm": algorithm,
        "env_steps": ENV_STEPS,
        "seeds": list(SEEDS),
        "evaluate_every": 1_000,
        "resolved": {"action_repeat": 2, "discount": 0.99, "agent_steps": 1_000, "replay_capacity": 1_000},
        "machine": {"versions": {"jax": "0.12"}, "git_revision": "abc123", "device": "CPU, 2 cores"},
        "command": ["surefoot", "train", "cheetah-run", "--out", "my runs/a|b"],
    }


def _write_evaluations(path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, EVALUATION_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for env_steps in (0, ENV_STEPS):
            for seed, value in zip(SEEDS, (100.0, 300.0), strict=True):
                for episode in (0, 1):
                    value = 1.0 if env_steps == 0 else value + 10 * episode
                    writer.writerow(_row(seed, env_steps, episode, value))


def _row(seed: int, env_steps: int, episode: int, value: float) -> dict[str, Any]:
    return {
        "task": "cheetah-run",
        "algorithm": "crossq-wn",
        "utd": 2,
        "seed": seed,
        "env_steps": env_steps,
        "agent_steps": env_steps // 2,
        "grad_steps": env_steps,
        "episode": episode,
        "return": value,
        "length_env_steps": 1000,
        "score": value / 1000,
        "wall_seconds": 5400.0,
    }
