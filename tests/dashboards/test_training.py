"""Dashboards in real training and on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import surefoot
from surefoot.cli.main import main
from surefoot.training.callbacks import StepView
from tests.training.recording import Recording
from tests.training.small import small

from .support import FakeRun, curve, history, offline_folders


class Crash(surefoot.Callback):
    """Raises at an env step."""

    def __init__(self, env_steps: int) -> None:
        self.env_steps = env_steps

    def on_step(self, view: StepView) -> None:
        if view.env_steps == self.env_steps:
            raise OSError("the machine failed")


@pytest.mark.slow
def test_dashboards_of_resumed_run_equal_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    out, quiet = tmp_path / "run", {"observer": Recording()}

    def dashboards() -> list[surefoot.Callback]:
        return [surefoot.TensorBoard(), surefoot.WandB("tests", mode="offline")]

    with pytest.raises(OSError, match="the machine failed"):
        surefoot.train(
            "probe-truncation",
            algorithm=small(surefoot.crossq_wn(utd=1)),
            env_steps=200,
            num_seeds=2,
            evaluate_every=40,
            evaluation_episodes=2,
            checkpoint_every=60,
            log_every=20,
            out=out,
            callbacks=[*dashboards(), Crash(175)],
            **quiet,
        )
    # Rows exist up to env step 160; the run resumes from the checkpoint at 120.
    assert [step for step, _ in curve(out / "tensorboard" / "seed_1")] == [0, 40, 80, 120, 160]
    run = surefoot.resume(out, callbacks=dashboards(), **quiet)

    evaluations, training = run.evaluations(), run.training()
    for seed in (0, 1):
        own = evaluations["seed"] == seed
        steps = np.unique(evaluations["env_steps"][own])
        means = [evaluations["return"][own & (evaluations["env_steps"] == step)].mean() for step in steps]
        shown = curve(out / "tensorboard" / f"seed_{seed}")
        assert [step for step, _ in shown] == steps.tolist() == [0, 40, 80, 120, 160, 200]
        np.testing.assert_allclose([value for _, value in shown], means, rtol=1e-6)
        own = (training["seed"] == seed) & np.isfinite(training["critic_loss"])
        shown = curve(out / "tensorboard" / f"seed_{seed}", "training/critic_loss")
        assert [step for step, _ in shown] == training["env_steps"][own].tolist()
        np.testing.assert_allclose([value for _, value in shown], training["critic_loss"][own], rtol=1e-6)

    (folder,) = offline_folders(out)
    rows = history(folder)
    assert [row["env_steps"] for row in rows] == [0, *range(20, 201, 20)]
    last = evaluations["env_steps"] == 200
    assert rows[-1]["evaluation/return"] == pytest.approx(evaluations["return"][last].mean())
    assert rows[-1]["seed_1/training/critic_loss"] == training["critic_loss"][-1]


# ---------------------------------------------------------------- command line


def test_sync_prints_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = FakeRun(tmp_path / "my run")
    run.evaluate(0, {3: [1.0], 4: [2.0]})
    assert main(["sync", str(run.path), "--to", "tensorboard"]) == 0
    assert capsys.readouterr().out == (
        f"TensorBoard: wrote 1 of 1 points\n  tensorboard --logdir '{run.path}/tensorboard'\n"
    )
    assert curve(run.path / "tensorboard" / "mean") == [(0, 1.5)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sync RUN", "--to {tensorboard,wandb}... is missing"),
        ("sync RUN --to", "--to: expected tensorboard, wandb, or both, got nothing"),
        (
            "sync RUN --to tensorbord",
            "unknown dashboard 'tensorbord': expected tensorboard or wandb; did you mean 'tensorboard'?",
        ),
        (
            "sync RUN --to tensorboard wanbd",
            "unknown dashboard 'wanbd': expected tensorboard or wandb; did you mean 'wandb'?",
        ),
        ("sync NOTHING --to tensorboard", "is not a run: it is missing"),
        ("train cheetah-run --out NOTHING --dashboard csv", "unknown dashboard 'csv': expected tensorboard or wandb"),
        (
            "train cheetah-run --out NOTHING --dashboard",
            "--dashboard: expected tensorboard, wandb, or both, got nothing",
        ),
        (
            "train cheetah-run --out NOTHING --dashboard wandb",
            "WANDB_MODE must be one of online, offline, disabled, got 'x'",
        ),
        ("resume RUN --dashboard tensorbord", "did you mean 'tensorboard'?"),
    ],
)
def test_invalid_arguments_are_rejected_before_writing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", "x")
    run = FakeRun(tmp_path / "run")
    run.evaluate(0, {3: [1.0], 4: [2.0]})
    before = sorted(tmp_path.rglob("*"))
    words = [{"RUN": str(run.path), "NOTHING": str(tmp_path / "nothing")}.get(word, word) for word in line.split()]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
