"""Untrusted grid directories are read, or rejected with a UserError."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from surefoot.benchmark.attempts import ATTEMPTS, Event, append_attempt
from surefoot.benchmark.folder import BENCH, GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.benchmark.status import GridReader
from surefoot.cli.bench_tables import status_lines
from surefoot.errors import UserError
from tests.benchmark.support import write_grid
from tests.fuzzing.malformed import MALFORMED_JSON, damaged, dump, irregular_files, is_rejected, other_values, sample


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    folder = GridFolder.create(tmp_path / "bench", load_grid(str(write_grid(tmp_path / "g.toml"))))
    name = folder.cells[0].name
    append_attempt(folder.attempts_path, name, Event.STARTED)
    append_attempt(folder.attempts_path, name, Event.FAILED, 1)
    folder.log_path(name).write_text("surefoot: error: it broke\n")
    return folder.path


def read_status(path: Path) -> None:
    """Read a grid like `surefoot bench status`; all its paths must be inside the folder."""
    folder = GridFolder.open(path)
    lines = status_lines(GridReader(folder).read(), 100, 30)
    assert all(line.isprintable() for line, _ in lines)
    for cell in folder.cells:
        assert Path(os.path.normpath(folder.run_path(cell.name))).parent == path / "cells"
        assert Path(os.path.normpath(folder.log_path(cell.name))).parent == path / "logs"


def test_damaged_grid_file_loads_or_is_rejected(bench: Path) -> None:
    original = json.loads((bench / BENCH).read_bytes())
    cases = [*MALFORMED_JSON.values(), *(dump(value) for value in sample(other_values(original), seed=1, most=100))]
    rejected = 0
    for content in [*cases, *damaged((bench / BENCH).read_bytes(), seed=2, cases=60)]:
        (bench / BENCH).write_bytes(content)
        rejected += is_rejected(lambda: read_status(bench), bench)
    assert 60 < rejected < len(cases) + 60


@pytest.mark.parametrize("name", ["..", ".", "", "../../evil", "/etc", "a b", "a\nb", "x" * 241, None, 3, ["a"]])
def test_cell_names_cannot_leave_directory(bench: Path, name: Any) -> None:
    content = json.loads((bench / BENCH).read_bytes())
    content["cells"][0]["name"] = name
    (bench / BENCH).write_bytes(dump(content))
    with pytest.raises(UserError, match=r"bench\.json is damaged"):
        GridFolder.open(bench)


def test_tasks_that_are_code_are_rejected(bench: Path) -> None:
    content = json.loads((bench / BENCH).read_bytes())
    content["cells"][0]["task"] = "os:system"
    (bench / BENCH).write_bytes(dump(content))
    with pytest.raises(UserError, match="the task 'os:system' is code"):
        GridFolder.open(bench)


def test_repeated_cell_names_are_rejected(bench: Path) -> None:
    content = json.loads((bench / BENCH).read_bytes())
    content["cells"][1]["name"] = content["cells"][0]["name"]
    (bench / BENCH).write_bytes(dump(content))
    with pytest.raises(UserError, match="two cells have one name"):
        GridFolder.open(bench)


@pytest.mark.parametrize("name", [BENCH, ATTEMPTS, "log"])
def test_irregular_files_are_rejected(bench: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    path = next((bench / "logs").iterdir()) if name == "log" else bench / name
    for _ in irregular_files(path, tmp_path / "outside"):
        is_rejected(lambda: read_status(bench), bench)


def test_damaged_attempts_file_loads_or_is_rejected(bench: Path) -> None:
    content = (bench / ATTEMPTS).read_bytes()
    for case in [*damaged(content, seed=3, cases=60), b"\x00" * 100, b"," * 100_000, b"a,b,started,\n" * 10_000]:
        (bench / ATTEMPTS).write_bytes(case)
        assert not is_rejected(lambda: read_status(bench), bench)
