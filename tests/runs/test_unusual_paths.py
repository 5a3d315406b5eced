"""Run directories with names of any bytes, and paths that are too long."""

from __future__ import annotations

import os
from pathlib import Path

import gymnasium
import pytest

from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.cli.main import main
from surefoot.errors import UserError
from surefoot.model_card import write_model_card
from surefoot.policy import load_policy
from surefoot.report.report import make_report
from surefoot.runs import CsvLog, RunDirectory, read_evaluations
from surefoot.runs.atomic import write_file
from surefoot.runs.layout import check_free
from surefoot.runs.progress import RunsReader, RunState
from surefoot.training.events import Observer, RunStarted
from tests.benchmark.support import write_grid
from tests.fuzzing.test_untrusted_runs import make_policy
from tests.report.support import QUICK, make_run

LATIN = os.fsdecode(b"caf\xe9 \xff")
UNUSUAL = [LATIN, "line\nbreak", "\x1b[2J", "-x", "x" * 255]
LONG = ["x" * 300, "/".join(["y" * 200] * 30)]


@pytest.mark.parametrize("argument", [LATIN, "\ud800"])
def test_run_with_arguments_of_any_bytes_can_be_opened(tmp_path: Path, argument: str) -> None:
    config = {"task": "t", "command": ["surefoot", "--out", argument], "warm_start": {"prefill": argument}}
    run = RunDirectory.create(tmp_path / "run", config)
    run.update_config({"resumed": [argument]})
    with run.lock():
        assert RunDirectory.open(run.path).config == run.config
    assert RunDirectory.create(run.path, config, overwrite=True).config["command"][2].encode()


def test_cells_of_a_log_are_utf_8(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ("task", LATIN))
    log.append([{"task": LATIN, LATIN: 1}])
    log.close()
    assert (tmp_path / "log.csv").read_text("utf-8") == "task,caf\\xe9 \\xff\ncaf\\xe9 \\xff,1\n"


@pytest.mark.parametrize("name", UNUSUAL)
def test_run_with_an_unusual_name_is_shown_reported_and_described(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / name)
    make_policy(run / "policy")
    assert load_policy(run).seed == 3
    (progress,) = RunsReader([tmp_path]).read()
    assert progress.state is RunState.FINISHED
    assert main(["watch", str(run), "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    RunDirectory.open(run).update_config({"env_steps": 20_000})
    card = write_model_card(run).read_text("utf-8")
    assert "load_policy(" in card
    RunDirectory.create(run, {"task": "t"}, overwrite=True)


def test_report_of_an_unusual_name_is_utf_8(tmp_path: Path) -> None:
    make_run(tmp_path / LATIN)
    page = make_report([tmp_path], tmp_path / f"report {LATIN}", QUICK)
    assert "caf\\xe9" in page.read_text("utf-8")
    for table in (page.parent / "tables").iterdir():
        table.read_text("utf-8")


@pytest.mark.parametrize("path", LONG)
@pytest.mark.parametrize("parent", ["", "new/folder"])
def test_too_long_paths_are_rejected_before_anything_is_made(tmp_path: Path, parent: str, path: str) -> None:
    for action in (
        lambda where: check_free(where),
        lambda where: RunDirectory.create(where, {"task": "t"}),
        lambda where: make_report([tmp_path / "run"], where, QUICK),
    ):
        with pytest.raises(UserError, match=r"File name too long|does not exist"):
            action(tmp_path / parent / path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [*LONG, "null\0byte", "\ud800"])
def test_commands_reject_a_too_long_path_in_one_line(
    tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    for command in (
        ["watch", path],
        ["report", path],
        ["report", "run", "-o", path],
        ["card", path],
        ["card", "run", "-o", path],
        ["evaluate", path],
        ["resume", path],
        ["export", path],
        ["export", "run", "-o", f"{path}.onnx"],
        ["record", path, "-o", "x.mp4"],
        ["sync", path, "--to", "tensorboard"],
        ["bench", "status", path],
        ["bench", path],
        ["bench", "quick", "--out", path],
        ["train", "probe-action", "--out", path],
        ["train", "probe-action", "--init-from", path],
        ["train", "probe-action", "--prefill", path],
    ):
        assert main(command) == 2, command
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert error.startswith("surefoot: error: "), error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("stem", [LATIN, "line\nbreak", "x" * 250])
def test_grid_whose_file_has_an_unusual_name_can_be_opened(
    tmp_path: Path, stem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = load_grid(str(write_grid(tmp_path / f"{stem}.toml")))
    made = GridFolder.create(Path("runs") / grid.name, grid)
    assert GridFolder.open(made.path).cells == grid.cells


def test_grid_whose_cells_have_too_long_names_is_rejected(tmp_path: Path) -> None:
    task = f"{'x' * 235}-v0"
    gymnasium.register(task, "gymnasium.envs.classic_control:PendulumEnv")
    try:
        with pytest.raises(UserError, match="characters, expected at most 240"):
            load_grid(str(write_grid(tmp_path / "g.toml", head=f'tasks = ["{task}"]')))
    finally:
        del gymnasium.registry[task]


def test_default_observer_prints_any_run_directory(capsys: pytest.CaptureFixture[str]) -> None:
    started = RunStarted(Path(LATIN), "t", "sac", 1, (0,), 10, 0, "CPU, 1 core", 1, 0)
    Observer().on_start(started)
    assert "caf\\xe9 \\xff" in capsys.readouterr().out


def test_file_may_have_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    for content in (b"first", b"second"):
        write_file(path, content)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"second"]


def test_missing_log_and_unreadable_log_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_evaluations(tmp_path)
    with pytest.raises(UserError, match="File name too long"):
        read_evaluations(tmp_path / ("x" * 300))
