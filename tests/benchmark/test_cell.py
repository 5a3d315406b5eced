"""A cell's process beside one that was given up for lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from surefoot.benchmark import cell
from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.runs.layout import LOCK
from surefoot.runs.lock import RunLock
from tests.benchmark.support import write_grid


@pytest.fixture
def folder(tmp_path: Path) -> GridFolder:
    return GridFolder.create(tmp_path / "out", load_grid(str(write_grid(tmp_path / "g.toml"))))


def held_run(folder: GridFolder) -> tuple[str, RunLock]:
    """A cell whose run directory another process would hold."""
    name = folder.cells[0].name
    path = folder.run_path(name)
    path.mkdir(parents=True)
    lock = RunLock(path / LOCK)
    lock.acquire()
    return name, lock


def test_it_waits_until_its_predecessor_is_gone(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    name, lock = held_run(folder)
    gone: list[float] = []
    trained: list[float] = []

    def leave() -> None:
        gone.append(time.monotonic())
        lock.release()

    def train(*_: object, **__: object) -> Done:
        trained.append(time.monotonic())
        return Done()

    monkeypatch.setattr("surefoot.training.api.train", train)
    threading.Timer(1.0, leave).start()
    assert cell._train(folder, name) == 0
    assert trained[0] >= gone[0]


def test_it_does_not_wait_for_ever(
    folder: GridFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cell, "_PREDECESSOR_SECONDS", 0.2)
    monkeypatch.setattr(cell, "_die_with_parent", lambda: None)
    name, lock = held_run(folder)
    assert cell.main([str(folder.path), name]) == 2
    assert "surefoot: error: " in capsys.readouterr().err
    lock.release()


class Done:
    completed = True
