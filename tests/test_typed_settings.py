"""Types of keyword arguments: in step with the settings, and what type checkers find."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_generated_types_are_in_step_with_the_settings() -> None:
    path = ROOT / "scripts" / "make_typed_settings.py"
    spec = importlib.util.spec_from_file_location("make_typed_settings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stored = ast.parse(module.OUT.read_text(encoding="utf-8"))
    assert ast.unparse(stored) == ast.unparse(ast.parse(module.generated())), "run scripts/make_typed_settings.py"


MISTAKES = {
    'surefoot.train("x", utdd=5)': "utdd",
    'surefoot.train("x", env_steps="many")': "env_steps",
    'surefoot.train("x", algorithm=3)': "algorithm",
    'surefoot.resume("x", seed=3)': "seed",
    "surefoot.sac().replace(bacth_size=64)": "bacth_size",
    "surefoot.sac(utdd=5)": "utdd",
    "surefoot.Agent(box, box, utd=5)": "utd",
    'surefoot.evaluate("x", episode=5)': "episode",
    "surefoot.trian": "trian",
}
VALID = """\
import gymnasium
import numpy as np
import surefoot

box = gymnasium.spaces.Box(-1.0, 1.0, (2,))
run: surefoot.Run = surefoot.train("x", algorithm="crossq-wn", env_steps=1e6, seed=np.int64(3), out="runs/x")
surefoot.train("x", algorithm=surefoot.sac(utd=2).replace(batch_size=64, target=None, discount=0.9), prefill=None)
surefoot.resume(run.path, env_steps=2_000_000)
agent: surefoot.Agent = surefoot.Agent(box, box, "sac", seed=3)
version: str = surefoot.__version__
"""


@pytest.mark.slow
def test_type_checker_finds_misspelled_names(tmp_path: Path) -> None:
    file = tmp_path / "user.py"
    file.write_text(VALID + "\n".join(MISTAKES) + "\n")
    first = VALID.count("\n") + 1
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    lines = [int(line.removeprefix(str(file)).split(":")[1]) for line in errors]
    assert lines == list(range(first, first + len(MISTAKES))), done.stdout
    assert [name for name, line in zip(MISTAKES.values(), errors, strict=True) if f'"{name}"' not in line] == []
