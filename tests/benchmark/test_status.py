"""State of cells, read from files, and its table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from surefoot.benchmark.attempts import Attempts, Event, append_attempt, read_attempts
from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.benchmark.status import CellStatus, GridReader, summary
from surefoot.cli.bench_tables import status_lines
from surefoot.cli.main import main
from surefoot.errors import RunFailure
from surefoot.runs.lock import RunLock
from surefoot.runs.progress import RunProgress, RunState
from tests.benchmark.support import write_grid

CONFIG = {
    "format": 1,
    "task": "probe-action",
    "algorithm": {"name": "small sac"},
    "seeds": [0],
    "resolved": {"agent_steps": 600, "action_repeat": 1},
}


@pytest.fixture
def folder(tmp_path: Path) -> GridFolder:
    return GridFolder.create(tmp_path / "out", load_grid(str(write_grid(tmp_path / "g.toml"))))


def start_run(folder: GridFolder, name: str) -> Path:
    """Make the run directory of a cell that has just started."""
    run = folder.run_path(name)
    run.mkdir()
    (run / "config.json").write_text(json.dumps(CONFIG))
    return run


def states(folder: GridFolder) -> list[str]:
    return [cell.state for cell in GridReader(folder).read()]


def test_states_of_a_cell(folder: GridFolder) -> None:
    name = folder.cells[0].name
    log = folder.attempts_path
    bench = folder.lock()
    bench.acquire()
    assert states(folder) == ["waiting", "waiting"]
    append_attempt(log, name, Event.STARTED)
    assert states(folder) == ["starting", "waiting"]
    run = start_run(folder, name)
    assert states(folder) == ["starting", "waiting"]
    cell = RunLock(run / ".lock")
    cell.acquire()
    assert states(folder) == ["running", "waiting"]
    cell.release()
    append_attempt(log, name, Event.LOST)
    assert states(folder) == ["stopped", "waiting"], "another machine can resume it"
    append_attempt(log, name, Event.STARTED)
    append_attempt(log, name, Event.FAILED, 1)
    assert states(folder) == ["failed", "waiting"]
    append_attempt(log, name, Event.STARTED)
    assert states(folder) == ["starting", "waiting"]
    bench.release()
    assert states(folder) == ["stopped", "waiting"], "the launcher was killed"


def test_cell_failing_at_start_is_failed_with_reason(folder: GridFolder) -> None:
    first, second = (cell.name for cell in folder.cells)
    for name in (first, second):
        append_attempt(folder.attempts_path, name, Event.STARTED)
        append_attempt(folder.attempts_path, name, Event.FAILED, 1)
    folder.log_path(first).write_text("Traceback (most recent call last):\nImportError: \x1b[31mno such thing\n\n")
    found = GridReader(folder).read()
    assert [(cell.state, cell.attempts) for cell in found] == [("failed", 1), ("failed", 1)]
    assert found[0].problem == r"exit code 1: ImportError: \x1b[31mno such thing"
    assert found[1].problem == "exit code 1: no output"


def test_damaged_runs_and_attempts_are_named(folder: GridFolder, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (cell.name for cell in folder.cells)
    start_run(folder, first).joinpath("config.json").write_text('{"format": 1}')
    shutil.copytree(folder.run_path(first), folder.run_path(second))
    cell = GridReader(folder).read()[0]
    assert (cell.state, cell.attempts) == ("unreadable", 0)
    assert "config.json lacks" in cell.problem
    folder.attempts_path.mkdir()
    assert main(["bench", "status", str(folder.path)]) == 0
    shown = capsys.readouterr().out
    assert "attempts.csv: it is not a regular file" in shown
    assert "2 cells: 2 unreadable" in shown


def test_attempts_are_counted_and_incomplete_lines_skipped(tmp_path: Path) -> None:
    log = tmp_path / "attempts.csv"
    assert read_attempts(log) == {}
    append_attempt(log, "a", Event.STARTED)
    append_attempt(log, "a", Event.FAILED, -9)
    with log.open("a") as stream:
        stream.write("2026-01-01T00:00:00+00:00,a,sta")  # a process was killed here
    assert read_attempts(log) == {"a": Attempts(1, Event.FAILED, "SIGKILL")}
    append_attempt(log, "b", Event.STARTED)
    append_attempt(log, "a", Event.STARTED)
    assert read_attempts(log) == {"a": Attempts(2, Event.STARTED), "b": Attempts(1, Event.STARTED)}
    header, *rows = log.read_text().splitlines()
    assert header == "time,cell,event,exit_code"
    assert [row.partition(",")[2] for row in rows] == ["a,started,", "a,failed,-9", "a,sta", "b,started,", "a,started,"]


def test_linked_attempts_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("mine")
    (tmp_path / "attempts.csv").symlink_to(tmp_path / "diary")
    with pytest.raises(RunFailure, match=r"cannot write .*attempts\.csv"):
        append_attempt(tmp_path / "attempts.csv", "a", Event.STARTED)
    assert (tmp_path / "diary").read_text() == "mine"


# ---------------------------------------------------------------- table


def many(count: int) -> list[CellStatus]:
    """Return cells of one grid: every fifth is running, one failed, the others wait."""
    cells = []
    for number in range(count):
        name = f"humanoid-run--crossq-wn-no-weight-normalisation--u5--s{number}-{number}"
        run = RunProgress(
            Path(name),
            RunState.RUNNING,
            env_steps=123_456,
            total_env_steps=1_000_000,
            grad_steps_per_second=1234.5,
            seconds_left=7200.0 + number,
            wall_seconds=1000.0,
        )
        cells.append(CellStatus(name, "running", run, 1) if number % 5 == 0 else CellStatus(name, "waiting", None))
    cells[1] = CellStatus(cells[1].name, "failed", None, 2, "ImportError: no such thing")
    return cells


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_table_fits_terminal_width(width: int) -> None:
    lines = [line for line, _ in status_lines(many(10), width, None)]
    table = lines[:11]
    assert max(map(len, table)) <= width
    assert all(line.endswith("2h 00m left") for line in (table[1], table[6]))
    names = [line.split()[0] for line in table[1:]]
    assert len(set(names)) == 10
    assert all(name.startswith("hum") and name.endswith(f"{number}") for number, name in enumerate(names))
    assert ("updates/s" in table[0]) == (width >= 100)
    assert f"failed: {many(10)[1].name}: ImportError: no such thing" in lines


def test_low_terminal_shows_running_and_failed_cells() -> None:
    cells = many(200)
    lines = status_lines(cells, 120, 24)
    assert len(lines) <= 24
    shown = [state for _, state in lines[1:-2]]
    assert shown.count("running") == len(shown) == 21
    assert lines[-1][0].startswith("200 cells: 40 running, 159 waiting, 1 failed (")
    assert "not shown), about" in lines[-1][0]
    assert lines[-2] == (f"failed: {cells[1].name}: ImportError: no such thing", "failed")
    assert summary(cells[:1]) == "1 cell: 1 running"
