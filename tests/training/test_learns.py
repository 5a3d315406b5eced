"""Learning on a DM Control task."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot.algorithms import AdamW, Temperature
from tests.training.recording import Recording
from tests.training.small import small


@pytest.mark.slow
def test_cheetah_run_is_learned(tmp_path: Path) -> None:
    optimizer = AdamW(learning_rate=1e-3, weight_decay=0.01, decay="outside-hidden")
    algorithm = small(
        surefoot.crossq_wn(utd=2),
        width=64,
        batch_size=128,
        warmup_transitions=1_000,
        actor_optimizer=optimizer,
        critic_optimizer=optimizer,
        temperature=Temperature(initial=0.01, target_entropy=-0.5, optimizer=AdamW(learning_rate=1e-3)),
    )
    observer = Recording()
    run = surefoot.train(
        "cheetah-run",
        algorithm=algorithm,
        env_steps=14_000,
        num_seeds=3,
        precision="float32",
        evaluate_every=14_000,
        evaluation_episodes=2,
        out=tmp_path / "run",
        observer=observer,
    )
    finished = observer.events[-1]
    assert finished.random_return < 20.0
    # Random policies get about 8; single seeds vary from 30 to 290, also with the rounding of the compiler's options.
    assert np.mean(finished.final.returns) > 40.0
    assert dataclasses.asdict(finished.final)["env_steps"] == 14_000
    assert run.completed
