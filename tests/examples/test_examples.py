"""Examples: length, docstring and a run with ``--fast``."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))
MAX_LINES = 60


def test_examples_are_short_and_have_docstrings() -> None:
    texts = {file.stem: file.read_text() for file in FILES}
    assert texts
    assert [name for name, text in texts.items() if len(text.splitlines()) > MAX_LINES] == []
    assert [name for name, text in texts.items() if not ast.get_docstring(ast.parse(text))] == []


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_example_runs(file: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(file), "--fast"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert done.stdout.strip()
