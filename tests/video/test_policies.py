"""Policies loaded from checkpoints."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import Learner
from surefoot.policy import PolicySpec, load_policy, save_policy
from surefoot.runs import RunDirectory
from surefoot.training.checkpointing.arrays import tree_to_arrays
from surefoot.training.policy_arrays import policy_arrays, policy_layers
from surefoot.types import EnvSpec
from surefoot.video.policies import checkpoint_policies, seeds_to_show
from tests.flat_spaces import env_spaces
from tests.training.small import small

OBSERVATIONS = np.random.default_rng(0).uniform(-1, 1, (16, 5)).astype(np.float32)
ALGORITHM = small(surefoot.crossq_wn(utd=2))
SPEC = PolicySpec(
    spaces=env_spaces(5, (-1.0, -2.0), (1.0, 2.0)),
    task="probe-action",
    algorithm="crossq-wn",
    env_steps=200,
    seeds=(0, 1),
    scores=(0.5, None),
    layers=policy_layers(ALGORITHM),
)


def learner_state(seed: int):
    """Return the state of a learner with a leading axis of two seeds, filled with random numbers."""
    rng = np.random.default_rng(seed)
    state = jax.eval_shape(Learner(ALGORITHM, EnvSpec(5, 2), 0.99).init, jax.random.key(0))
    filled = jax.tree.map(
        lambda leaf: rng.normal(0, 0.3, (2, *leaf.shape)).astype(np.float32), state._replace(key=None)
    )
    actor = filled.actor._replace(batch_stats=jax.tree.map(np.abs, filled.actor.batch_stats))  # variances
    return filled._replace(actor=actor, key=jax.random.split(jax.random.key(seed), 2))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return a run with the checkpoints 100 and 200, and the policy of the second."""
    directory = RunDirectory.create(tmp_path / "run", {"task": "probe-action", "resolved": {"action_repeat": 1}})
    for env_steps in (100, 200):
        arrays = tree_to_arrays(learner_state(env_steps))
        directory.checkpoints.save(env_steps, {"learner": arrays}, {}, [])
    save_policy(directory.policy_path, SPEC, policy_arrays(learner_state(200).actor))
    return directory


def test_newest_checkpoint_equals_saved_policy(run: RunDirectory) -> None:
    policies = checkpoint_policies(run, [1, 0])
    assert [(policy.env_steps, policy.seed) for policy in policies] == [(100, 1), (100, 0), (200, 1), (200, 0)]
    for policy in policies[2:]:
        np.testing.assert_array_equal(
            policy.batch(OBSERVATIONS), load_policy(run.path, policy.seed).batch(OBSERVATIONS)
        )


def test_older_checkpoint_equals_policy_at_that_step(run: RunDirectory, tmp_path: Path) -> None:
    save_policy(tmp_path / "older", SPEC, policy_arrays(learner_state(100).actor))
    older = checkpoint_policies(run, [0])[0]
    np.testing.assert_array_equal(older.batch(OBSERVATIONS), load_policy(tmp_path / "older", 0).batch(OBSERVATIONS))
    assert np.abs(older.batch(OBSERVATIONS) - load_policy(run.path, 0).batch(OBSERVATIONS)).max() > 1e-3


def test_missing_seed_is_reported_with_the_checkpoint(run: RunDirectory) -> None:
    folder = re.escape(str(run.path / "checkpoints" / "env_steps_000000000100"))
    with pytest.raises(surefoot.UserError, match=f"^{folder} has no seed 9; it has 0, 1$"):
        checkpoint_policies(run, [9])


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (3, "seeds must be a list of training seeds, got 3"),
        (["one"], "seeds must be a whole number, got 'one'"),
        (np.array([], int), "seeds is empty"),
        (np.array([1, 1]), "seed 1 is given twice"),
    ],
)
def test_seeds_are_validated(run: RunDirectory, seeds: Any, message: str) -> None:
    with pytest.raises(surefoot.UserError, match=message):
        seeds_to_show(run, seeds)


def test_damaged_checkpoint_gives_one_line(run: RunDirectory) -> None:
    (run.path / "checkpoints" / "env_steps_000000000100" / "learner.npz").write_bytes(b"PK not really")
    with pytest.raises(surefoot.UserError, match=r"learner\.npz") as caught:
        checkpoint_policies(run, [0])
    assert "\n" not in str(caught.value)
    (run.path / "checkpoints" / "env_steps_000000000100" / "learner.npz").unlink()
    with pytest.raises(surefoot.UserError, match=r"learner\.npz"):
        checkpoint_policies(run, [0])


def test_named_pipe_as_policy_is_rejected(run: RunDirectory) -> None:
    (run.policy_path / "policy.json").unlink()
    os.mkfifo(run.policy_path / "policy.json")
    with pytest.raises(surefoot.UserError, match=r"policy\.json: it is not a regular file"):
        checkpoint_policies(run, [0])
