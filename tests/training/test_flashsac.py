"""A short run of FlashSAC, narrow: resume within held noise, and its policy in NumPy and ONNX."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import surefoot
from surefoot.algorithms import Algorithm, HeldNoise, Learner
from surefoot.algorithms.presets import flashsac
from surefoot.export import onnx_file
from surefoot.networks import FlashSACNet
from surefoot.runs import RunDirectory
from surefoot.training.checkpointing.arrays import arrays_to_tree
from surefoot.types import EnvSpec
from tests.training.recording import Recording
from tests.training.test_resume import assert_same_run

ENV_STEPS, CHECKPOINT = 120, 75


def algorithm() -> Algorithm:
    """FlashSAC with noise that is held for 16 decisions on most of them."""
    narrow = FlashSACNet(8, 1, 2)
    changes = {"actor": narrow, "critic": narrow, "batch_size": 16, "warmup_transitions": 40}
    return flashsac().replace(**changes, held_noise=HeldNoise(exponent=0.0, max_decisions=16))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("flashsac") / "run"
    surefoot.train(
        "probe-action",
        algorithm=algorithm(),
        env_steps=ENV_STEPS,
        num_seeds=2,
        checkpoint_every=CHECKPOINT,
        diagnose_every=0,
        evaluation_episodes=1,
        out=out,
        observer=Recording(),
    )
    return out


@pytest.mark.slow
def test_run_resumed_within_held_noise_equals_an_uninterrupted_one(run: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    shutil.rmtree(cut / "checkpoints" / f"env_steps_{ENV_STEPS:012d}")
    stored = RunDirectory.open(cut).checkpoints.load()
    assert stored.env_steps == CHECKPOINT
    assert stored.arrays["learner"][".held_noise.remaining"].any()
    assert stored.arrays["learner"][".held_noise.noise"].all()
    assert surefoot.resume(cut, observer=Recording()).completed
    assert_same_run(run, cut)


@pytest.mark.slow
def test_saved_and_exported_policies_equal_the_trained_actor(run: Path, tmp_path: Path) -> None:
    functions = Learner(algorithm(), EnvSpec(2, 1), 0.99)
    stored = RunDirectory.open(run).checkpoints.load().arrays["learner"]
    shapes = jax.eval_shape(jax.vmap(functions.init), jax.random.split(jax.random.key(0), 2))
    actors = arrays_to_tree(
        shapes.actor, {n.removeprefix(".actor"): a for n, a in stored.items() if n.startswith(".actor")}
    )
    observation = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    for seed in (0, 1):
        actor = jax.tree.map(lambda leaf, seed=seed: leaf[seed], actors)
        expected = np.tanh(functions.actor.evaluate(actor, observation)[0])
        np.testing.assert_allclose(surefoot.load_policy(run, seed).batch(observation), expected, atol=1e-5)
        export = surefoot.export_policy(run, seed=seed, out=tmp_path / "policy.onnx")
        assert export.max_difference < 1e-5
        np.testing.assert_allclose(onnx_file.act(export.path.read_bytes(), observation), expected, atol=1e-5)
