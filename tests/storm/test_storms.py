"""A few trials of each stress test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.storm.moments import _FUNCTIONS, PHASES

ROOT = Path(__file__).parents[2]


def test_every_phase_of_a_run_has_its_functions() -> None:
    """Importing the table fails where a function was renamed; the slow tests below would need minutes to tell."""
    assert {*_FUNCTIONS.values(), "warm-up", "updates"} == {*PHASES}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("kills", ["--count", "1", "--first", "18"], "# 1 trials in"),
        ("disk", ["--count", "1"], "# 3 trials in"),
        ("ray_kills", ["--count", "1", "--minutes", "0.5", "--seeds", "1", "--env-steps", "3000"], "# 1 trials in"),
    ],
)
def test_stress_test_finds_no_problem(name: str, arguments: list[str], expected: str, tmp_path: Path) -> None:
    log = tmp_path / f"{name}.log"
    command = [sys.executable, "-m", f"tests.storm.{name}", *arguments, "--log", str(log)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert expected in log.read_text()
    assert ", 0 with problems" in log.read_text()


@pytest.mark.slow
def test_stress_test_reports_what_is_different(tmp_path: Path) -> None:
    """A changed file of a finished run is found, so trials without problems mean something."""
    script = """
import shutil, sys
from pathlib import Path
from tests.storm.comparison import differences
from tests.storm.programs import start_or_resume
base = Path(sys.argv[1])
start_or_resume("sac", base / "one")
shutil.copytree(base / "one", base / "two")
print("found", differences(base / "one", base / "two"))
for change in ("training.csv", "policy/policy.npz", "replay"):
    target = base / "two" / change
    target = sorted(target.iterdir())[0] if target.is_dir() else target
    data = bytearray(target.read_bytes())
    data[-60] ^= 1
    target.write_bytes(bytes(data))
    print("found", differences(base / "one", base / "two"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("found")]
    assert found[0] == "found []", done.stdout + done.stderr
    assert "training.csv differs" in found[1]
    assert "policy.npz differs" in found[2]
    assert "segment_" in done.stderr or "segment_" in found[3]
