"""The benchmark of many environments per agent, at a small size."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import many_envs


@pytest.mark.slow
def test_run_ends_with_its_time_and_prints_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--task", "tests.simulators.pendulum:Pendulum", "--algorithm", "sac", "--out", str(tmp_path / "run")]
    sizes = ["--num-envs", "4", "--batch-size", "16", "--warmup", "64"]
    many_envs.main([*options, *sizes, "--env-steps", "4000", "--minutes", "5"])
    printed = capsys.readouterr().out
    assert "4 environments: " in printed
    assert "at env step 4,000" in printed
    many_envs.main([*options, *sizes, "--env-steps", "4000", "--minutes", "0"])
    assert "at env step 0" in capsys.readouterr().out
