"""The time limit of the measurements on a GPU, on the CPU."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from benchmarks import gpu
from benchmarks.gpu import Part


def test_parts_end_in_time_and_a_failed_one_is_no_obstacle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    flags = "import os; print(os.environ['XLA_FLAGS'].split()[-1])"
    endless = "import time; print('begun'); time.sleep(60)"
    programs = [
        Part("broken", ("-c", "raise SystemExit(3)"), needed=0.0),
        Part("flags", ("-c", flags), needed=0.0, xla_flags=gpu.NO_COMMAND_BUFFERS),
        Part("short", ("-c", endless), needed=0.0, longest=0.5),
        Part("large", ("-c", "print('never')"), needed=100.0),
        Part("endless", ("-c", endless), needed=0.0),
    ]
    assert gpu.run(programs, start + 6.0, tmp_path) == ["broken", "short", "endless"]
    assert time.monotonic() - start < 30.0
    assert (tmp_path / "flags.txt").read_text() == f"{gpu.NO_COMMAND_BUFFERS}\n"
    assert (tmp_path / "endless.txt").read_text() == "begun\n"
    printed = capsys.readouterr().out
    assert "broken: exit code 3" in printed
    assert "large: left out" in printed
    assert "endless: killed at the time limit" in printed


def test_time_to_measure_is_what_is_left_for_a_part(tmp_path: Path) -> None:
    part = Part("asked", ("-c", "import sys; print(sys.argv[1])", "{minutes}"), needed=0.0)
    gpu.run([part], time.monotonic() + 60.0, tmp_path)
    assert 0.6 < float((tmp_path / "asked.txt").read_text()) <= 0.75


@pytest.mark.slow
def test_updates_are_measured_and_what_does_not_fit_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_ROUNDS", 1)
    options = ["--preset", "sac", "--num-seeds", "1", "--precisions", "float32", "--out", str(tmp_path)]
    start = time.monotonic()
    # The updates are expected to need 75 s, as on a GPU: after them there is no time for another part.
    assert gpu.main([*options, "--minutes", "1.3"]) == 0
    assert time.monotonic() - start < 78.0
    (one,) = json.loads((tmp_path / "float32.json").read_text())["rows"]
    assert (one["preset"], one["num_seeds"], one["precision"]) == ("sac", 1, "float32")
    printed = capsys.readouterr().out
    assert "float32-no-command-buffers: left out" in printed
    assert "many-envs: left out" in printed
