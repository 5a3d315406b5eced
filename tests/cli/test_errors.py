"""What a person gets for a mistake: one line that names it, exit code 2, and no traceback."""

from __future__ import annotations

import pytest

from surefoot.cli.main import main

from .conftest import FakeApi


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian", "x"], ["unknown command 'trian'", "did you mean 'train'"]),
        (["--hlep"], ["'--hlep'", "did you mean '--help'"]),
        (["train"], ["TASK is missing", "surefoot train --help"]),
        (["evaluate"], ["PATH is missing"]),
        (["train", "x", "--env-stpes", "5"], ["unknown option '--env-stpes'", "did you mean '--env-steps'"]),
        (["train", "--env-stpes", "5"], ["unknown option '--env-stpes'"]),
        (["train", "x", "--task", "y"], ["unknown option '--task'"]),
        (["train", "x", "y"], ["unexpected argument 'y'"]),
        (["train", "x", "--utd"], ["--utd needs a value"]),
        (["train", "x", "--utd", "--seed", "1"], ["--utd needs a value"]),
        (["train", "x", "--utd", "2.5"], ["--utd", "expected a whole number", "'2.5'"]),
        (["train", "x", "--env-steps=1e6"], ["--env-steps", "expected a whole number such as 1_000_000", "'1e6'"]),
        (["train", "x", "--discount", "high"], ["--discount", "expected a number", "'high'"]),
        (["tasks", "--jsn"], ["unknown option '--jsn'", "did you mean '--json'"]),
        (["train", "x", "--algorithm", "crossq-nw"], ["unknown algorithm 'crossq-nw'", "did you mean 'crossq-wn'"]),
        (["train", "x", "--utd", "0"], ["utd", "at least 1", "got 0"]),
        (["train", "x", "--batch-size", "-1"], ["batch_size", "at least 1", "got -1"]),
        (["algorithms", "sca"], ["unknown algorithm 'sca'", "did you mean 'sac'"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
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


@pytest.mark.parametrize("encoding_is_plain", [False, True])
def test_the_line_is_the_same_whatever_the_terminal(
    encoding_is_plain: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    if encoding_is_plain:
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert main(["train", "x", "--env-steps", "many"]) == 2
    assert capsys.readouterr().err == (
        "surefoot: error: train: --env-steps: expected a whole number such as 1_000_000, got 'many'; "
        "see surefoot train --help\n"
    )
