"""Process of a cell, also while a predecessor that was considered lost still runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import surefoot
from surefoot.benchmark import cell
from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.runs.layout import LOCK
from surefoot.runs.lock import RunLock
from tests.benchmark.support import TWO_SEEDS, rows_without_clock, write_grid
from tests.training.recording import Recording


@pytest.fixture
def folder(tmp_path: Path) -> GridFolder:
    return GridFolder.create(tmp_path / "out", load_grid(str(write_grid(tmp_path / "g.toml"))))


def test_cell_equals_train(tmp_path: Path) -> None:
    head = 'tasks = ["probe-action"]\nnum_seeds = 4\nseeds_per_cell = 2'
    grid = write_grid(tmp_path / "g.toml", head, TWO_SEEDS, env_steps=160, replay_capacity=150)
    folder = GridFolder.create(tmp_path / "out", load_grid(str(grid)))
    own = folder.cells[1]
    assert cell._train(folder, own.name) == 0
    config = own.config(tmp_path / "run")
    settings = {key: value for key, value in vars(config).items() if key not in ("task", "algorithm")}
    run = surefoot.train(config.task, algorithm=config.algorithm, observer=Recording(), **settings)
    for name in ("evaluations.csv", "training.csv"):
        assert rows_without_clock(run.path, name) == rows_without_clock(folder.run_path(own.name), name)


def held_run(folder: GridFolder) -> tuple[str, RunLock]:
    """Return a cell whose run directory is locked, and the lock."""
    name = folder.cells[0].name
    path = folder.run_path(name)
    path.mkdir(parents=True)
    lock = RunLock(path / LOCK)
    lock.acquire()
    return name, lock


def test_cell_waits_for_its_predecessor(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    name, lock = held_run(folder)
    released: list[float] = []
    trained: list[float] = []

    def release() -> None:
        released.append(time.monotonic())
        lock.release()

    def train(*_: object, **__: object) -> Done:
        trained.append(time.monotonic())
        return Done()

    monkeypatch.setattr("surefoot.training.api.train", train)
    threading.Timer(1.0, release).start()
    assert cell._train(folder, name) == 0
    assert trained[0] >= released[0]


def test_wait_for_predecessor_is_limited(
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
