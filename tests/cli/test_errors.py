"""Messages for invalid command lines."""

from __future__ import annotations

import pytest

from surefoot.cli.main import main

from .conftest import FakeApi

TRAIN = ["train", "cheetah-run", "--set"]

MISTAKES = [
    (["trian", "x"], ["unknown command 'trian'", "did you mean 'train'"]),
    (["--hlep"], ["'--hlep'", "did you mean '--help'"]),
    (["train"], ["TASK is missing", "surefoot train --help"]),
    (["evaluate"], ["PATH is missing"]),
    (
        ["train", "--dashboard", "wandb", "x", "--utd", "2"],
        ["TASK is missing: --dashboard takes every value after it, so give TASK before --dashboard"],
    ),
    (["record", "--seeds=0", "1", "x", "-o", "x.mp4"], ["so give PATH before --seeds"]),
    (["train", "x", "--env-stpes", "5"], ["unknown option '--env-stpes'", "did you mean '--env-steps'"]),
    (["train", "--env-stpes", "5"], ["unknown option '--env-stpes'"]),
    (["train", "x", "--task", "y"], ["unknown option '--task'"]),
    (["train", "x", "y"], ["unexpected argument 'y'"]),
    (["train", "x", "--utd"], ["--utd needs a value"]),
    (["train", "x", "--utd", "--seed", "1"], ["--utd needs a value"]),
    (["train", "x", "--utd", "2/0"], ["--utd", "expected a number such as 2, 0.5 or 2/1024", "'2/0'"]),
    (["train", "x", "--num-envs", "2.5"], ["--num-envs", "expected a whole number", "'2.5'"]),
    (["train", "x", "--env-steps=1e-6"], ["--env-steps", "expected a whole number such as 1_000_000", "'1e-6'"]),
    (["train", "x", "--env-steps", "1e999"], ["--env-steps", "expected a whole number", "'1e999'"]),
    (["train", "x", "--batch-size", "64"], ["--batch-size", "belongs to the algorithm: --set batch_size=VALUE"]),
    (["resume", "x", "--utd", "4"], ["--utd", "belongs to the algorithm"]),
    (["train", "x", "--set", "env-steps=5"], ["env_steps", "a setting of the run (--env-steps)"]),
    (["tasks", "--jsn"], ["unknown option '--jsn'", "did you mean '--json'"]),
    (["train", "x", "--algorithm", "crossq-nw"], ["unknown algorithm 'crossq-nw'", "did you mean 'crossq-wn'"]),
    (["train", "x", "--utd", "0"], ["utd", "more than 0", "got 0"]),
    (["algorithms", "sca"], ["unknown algorithm 'sca'", "did you mean 'sac'"]),
    ([*TRAIN, "batch_size"], ["--set: expected PATH=VALUE such as critic.norm=none, got 'batch_size'"]),
    ([*TRAIN, "batch_size=-1"], ["batch_size", "at least 1", "got -1"]),
    ([*TRAIN, "discount=high"], ["discount must be one of none, a number, got 'high'"]),
    ([*TRAIN, "critc.norm=none"], ["setting 'critc.norm'", "no field 'critc'", "did you mean 'critic'"]),
    ([*TRAIN, "critic.nrm=none"], ["setting 'critic.nrm'", "no field 'nrm'", "did you mean 'norm'"]),
    ([*TRAIN, "weight-constraint=unit-nrm"], ["must be one of none, UnitNorm, FullUnitNorm", "got 'unit-nrm'"]),
    ([*TRAIN, "critic=none"], ["critic must be one of MLP, BroNet, SimBaNet, FlashSACNet, got 'none'"]),
    ([*TRAIN, "resets=ResetEvery(steps=3)"], ["ResetEvery got an unexpected keyword argument 'steps'"]),
    ([*TRAIN, "actor=MLP(open('x'))"], ["open('x') is neither a part nor a literal"]),
    ([*TRAIN, "critic_loss=quantile-huber"], ["target_reduction Min needs scalar critics"]),
    ([*TRAIN, "temperature=none"], ["policy TanhGaussian needs a temperature"]),
]


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES)
def test_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], expected: list[str], api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("surefoot: error: ")
    assert err.count("\n") == 1
    for part in expected:
        assert part in err
    assert api.calls == []


@pytest.mark.parametrize("plain_encoding", [False, True])
def test_line_does_not_depend_on_the_terminal(
    plain_encoding: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    if plain_encoding:
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert main(["train", "x", "--env-steps", "many"]) == 2
    assert capsys.readouterr().err == (
        "surefoot: error: train: --env-steps: expected a whole number such as 1_000_000 or 1e6, got 'many'; "
        "see surefoot train --help\n"
    )
