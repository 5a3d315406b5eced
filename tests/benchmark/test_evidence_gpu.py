"""``make evidence-gpu`` at a small size, on the CPU."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from benchmarks import speed
from results import evidence_gpu

GRID = """
tasks = ["pendulum-swingup"]
env_steps = 1_000_000
evaluate_every = 500
evaluation_episodes = 1
diagnose_every = 0
replay_capacity = 1_000
num_seeds = 2
overlap = true

[[algorithms]]
preset = "crossq"
actor = "MLP((16, 16), BatchNorm())"
critic = "MLP((16, 16), BatchNorm())"
batch_size = 16
warmup_transitions = 100

[[algorithms]]
preset = "crossq-wn"
actor = "MLP((16, 16), BatchNorm())"
critic = "MLP((16, 16), BatchNorm())"
batch_size = 16
warmup_transitions = 100
"""


class Clock:
    """Jumps to the time limit once both runs have been evaluated and copied."""

    def __init__(self, results: Path) -> None:
        self._results = results

    def monotonic(self) -> float:
        jump = 1e6 if len(list(self._results.glob("*/*/evaluations.csv"))) == 2 else 0.0
        return time.monotonic() + jump

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.mark.slow
def test_runs_are_stopped_by_the_time_and_their_logs_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, results = tmp_path / "small.toml", tmp_path / "results"
    monkeypatch.setattr(evidence_gpu, "STOP_SECONDS", 90.0)
    monkeypatch.setattr(evidence_gpu, "COPY_SECONDS", 1.0)
    monkeypatch.setattr(evidence_gpu, "time", Clock(results))
    grid.write_text(GRID)
    options = ["--grids", str(grid), "--runs", str(tmp_path / "runs"), "--results", str(results)]
    assert evidence_gpu.main([*options, "--minutes", "10", "--rate-minutes", "0"]) == 0
    runs = sorted((results / "small").iterdir())
    assert [run.name.split("--")[1] for run in runs] == ["crossq", "crossq-wn"]
    for run in runs:
        config = json.loads((run / "config.json").read_text())
        assert (config["command"], config["num_seeds"]) == (["make", "evidence-gpu"], 2)
        assert (tmp_path / "runs" / "small" / "cells" / run.name / "checkpoints").is_dir()
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| pendulum-swingup")]
    first, second = (line.split(" | ") for line in lines)
    assert first[:4] == ["| pendulum-swingup", "crossq", "1", "2"]
    assert second[:4] == ["| pendulum-swingup", "crossq-wn", "5", "2"]
    assert first[4] == second[4] != "0"

    assert evidence_gpu.main([*options[:-1], str(tmp_path / "again"), "--collect"]) == 0
    assert sorted(path.name for path in (tmp_path / "again" / "small").iterdir()) == [run.name for run in runs]

    log = results / "small" / runs[0].name / "evaluations.csv"
    complete, run = log.read_bytes(), tmp_path / "runs" / "small" / "cells" / runs[0].name
    (run / "evaluations.csv").write_bytes(b"".join(complete.splitlines(keepends=True)[:5]))
    evidence_gpu.main([*options, "--collect"])
    assert log.read_bytes() == complete, "a copy is not replaced by an earlier state of its run"


def test_rates_are_measured_in_the_precision_of_the_runs(tmp_path: Path) -> None:
    run = tmp_path / "grid" / "run"
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"precision": "bf16"}')
    command = evidence_gpu.rate_command([tmp_path / "grid"], tmp_path / "rates.json", 1.5)
    assert command[1:3] == ["-m", "benchmarks.speed"]
    args = speed._parse(command[3:])
    assert (args.precisions, args.num_seeds, args.utd) == (["bf16"], [10, 64, 1], 5)
    assert args.minutes == pytest.approx(1.33, abs=0.01)
