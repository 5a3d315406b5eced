"""Export and model card of a trained run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot.export import onnx_file
from tests.training.small import small


@pytest.mark.slow
def test_trained_run_has_a_model_card_and_exports(tmp_path: Path) -> None:
    algorithm = small(surefoot.crossq_wn(utd=1), warmup_transitions=50)
    run = surefoot.train(
        "probe-action", algorithm=algorithm, env_steps=120, num_seeds=2, evaluation_episodes=1, out=tmp_path / "run"
    )
    assert (tmp_path / "run" / "MODEL_CARD.md").read_text().startswith("# probe-action, crossq-wn\n")
    for seed in (0, 1):
        export = surefoot.export_policy(run.path, seed=seed, out=tmp_path / "policy.onnx")
        assert export.observations > 50
        observation = np.random.default_rng(seed).uniform(-1, 1, (10, 2)).astype(np.float32)
        action = onnx_file.act(export.path.read_bytes(), observation)
        np.testing.assert_allclose(action, run.policy(seed).batch(observation), atol=1e-5)
    # Without its replay segment the newest checkpoint is unusable, and the one before it belongs to another policy.
    (segment,) = (run.path / "replay").iterdir()
    segment.write_bytes(segment.read_bytes()[:-1])
    before = export.path.read_bytes()
    with pytest.raises(surefoot.UserError, match=r"is of env step 120, but its last good checkpoint of 0, .* resume"):
        surefoot.export_policy(run.path, out=export.path)
    assert export.path.read_bytes() == before
