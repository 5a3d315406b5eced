"""Command ``watch``: states of growing run directories, and their table."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from surefoot.cli import watch
from surefoot.cli.main import main
from surefoot.cli.runs_table import ASCII_BLOCKS, BLOCKS, count_text, make_table, number_text, sparkline
from surefoot.errors import UserError
from surefoot.runs import EVALUATION_COLUMNS, CsvLog
from surefoot.runs.directory import RunDirectory
from surefoot.runs.progress import RunProgress, RunReader, RunsReader, RunState

TRAINING_COLUMNS = ("seed", "env_steps", "grad_steps", "critic_loss", "wall_seconds")


class FakeRun:
    """Run directory written as training does."""

    def __init__(self, path: Path, seeds: tuple[int, ...] = (0, 1), env_steps: int = 10_000) -> None:
        config: dict[str, Any] = {
            "task": "dog-run",
            "algorithm": {"name": "crossq-wn"},
            "seeds": list(seeds),
            "resolved": {"agent_steps": env_steps // 2, "action_repeat": 2},
        }
        self.seeds = seeds
        self.directory = RunDirectory.create(path, config)
        self.path = self.directory.path

    def evaluate(self, env_steps: int, returns: tuple[float, ...], wall_seconds: float = 0.0) -> None:
        """Log two episodes per seed, one unit below and one above its mean return; scores are returns / 1000."""
        log = CsvLog(self.path / "evaluations.csv", EVALUATION_COLUMNS)
        log.append(
            [
                {"seed": seed, "env_steps": env_steps, "episode": episode, "return": value + side}
                | {"score": (value + side) / 1000, "wall_seconds": wall_seconds}
                for seed, value in zip(self.seeds, returns, strict=True)
                for episode, side in enumerate((-1.0, 1.0))
            ]
        )
        log.close()

    def train(self, env_steps: int, grad_steps: int, wall_seconds: float) -> None:
        """Log one row per seed."""
        log = CsvLog(self.path / "training.csv", TRAINING_COLUMNS)
        counts = {"env_steps": env_steps, "grad_steps": grad_steps, "wall_seconds": wall_seconds}
        log.append([{"seed": seed, **counts} for seed in self.seeds])
        log.close()

    def checkpoint(self, env_steps: int) -> None:
        (self.path / "checkpoints" / f"env_steps_{env_steps:012d}").mkdir(parents=True)


def finished_run(path: Path) -> FakeRun:
    run = FakeRun(path)
    run.evaluate(0, (10.0, 20.0))
    run.evaluate(10_000, (500.0, 600.0), wall_seconds=75.0)
    return run


def test_finished_run_is_summarized(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "dog")
    progress = RunReader(run.path).read()
    assert (progress.state, progress.task, progress.algorithm, progress.seeds) == (
        RunState.FINISHED,
        "dog-run",
        "crossq-wn",
        (0, 1),
    )
    assert (progress.env_steps, progress.total_env_steps, progress.wall_seconds) == (10_000, 10_000, 75.0)
    first, last = progress.evaluations
    assert first.env_steps == 0
    assert first.returns == (10.0, 20.0)
    assert last.scores == pytest.approx((0.5, 0.6))
    assert last.score == pytest.approx(0.55)
    assert progress.seconds_left is None
    assert progress.problem is None


def test_run_with_a_held_lock_is_running_and_reading_leaves_no_lock(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "dog")
    reader = RunReader(run.path)
    assert reader.read().state is RunState.STOPPED
    with run.directory.lock():
        assert reader.read().state is RunState.RUNNING
    assert reader.read().state is RunState.STOPPED
    with run.directory.lock():  # reading holds no lock
        pass


def test_rows_after_the_last_checkpoint_mean_failure(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "dog")
    run.train(1_000, 0, 10.0)
    run.checkpoint(1_000)
    reader = RunReader(run.path)
    assert reader.read().state is RunState.STOPPED
    run.train(2_000, 0, 20.0)
    assert reader.read().state is RunState.FAILED
    run.checkpoint(2_000)
    assert reader.read().state is RunState.STOPPED


def test_run_killed_before_its_last_checkpoint_is_not_finished(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "dog")
    run.checkpoint(8_000)
    reader = RunReader(run.path)
    assert reader.read().state is RunState.FAILED
    run.checkpoint(10_000)
    assert reader.read().state is RunState.FINISHED


def test_speeds_and_time_left_exclude_the_warm_up(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "dog")
    run.train(1_000, 0, 1.0)
    run.train(2_000, 0, 2.0)
    reader = RunReader(run.path)
    with run.directory.lock():
        warm = reader.read()
        assert (warm.env_steps_per_second, warm.grad_steps_per_second) == (2_000.0, 0.0)  # two seeds
        assert warm.seconds_left is None
        run.train(3_000, 500, 12.0)
        assert reader.read().env_steps_per_second is None  # needs two rows after the warm-up
        run.train(4_000, 1_500, 32.0)
        progress = reader.read()
    assert (progress.env_steps_per_second, progress.grad_steps_per_second) == (100.0, 100.0)
    assert progress.seconds_left == (10_000 - 4_000) * 2 / 100.0
    assert RunReader(run.path).read().seconds_left is None  # the run is not running


def test_incomplete_last_row_is_read_later(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "dog", seeds=(0,))
    reader = RunReader(run.path)
    assert reader.read().evaluations == ()
    run.evaluate(0, (10.0,))
    assert reader.read().evaluations[-1].returns == (10.0,)
    log = run.path / "evaluations.csv"
    before = log.read_bytes()
    run.evaluate(2_000, (30.0,))
    after = log.read_bytes()
    log.write_bytes(after[:-5])  # the second episode is being written
    assert [e.returns for e in reader.read().evaluations] == [(10.0,), (29.0,)]
    log.write_bytes(after)
    assert [e.returns for e in reader.read().evaluations] == [(10.0,), (30.0,)]
    log.write_bytes(before)  # cut back, as resuming does
    assert [e.returns for e in reader.read().evaluations] == [(10.0,)]


def test_log_truncated_and_regrown_past_its_old_size_is_read_again(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "dog", seeds=(0,))
    log = run.path / "evaluations.csv"
    run.evaluate(0, (10.0,))
    start = log.read_bytes()
    run.evaluate(2_000, (30.0,))
    reader = RunReader(run.path)
    reader.read()
    log.write_bytes(start)
    run.evaluate(2_000, (31.0,))
    run.evaluate(4_000, (50.0,))
    assert [e.returns for e in reader.read().evaluations] == [(10.0,), (31.0,), (50.0,)]


def test_log_is_readable_once_repaired(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "dog")
    log = run.path / "evaluations.csv"
    good = log.read_bytes()
    log.write_bytes(good + b"x,y\n")
    reader = RunReader(run.path)
    assert reader.read().state is RunState.UNREADABLE
    log.write_bytes(good)
    assert reader.read().evaluations == RunReader(run.path).read().evaluations


def test_unchanged_files_are_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished_run(tmp_path / "dog")
    reader = RunReader(run.path)
    first = reader.read()
    opened: list[Path] = []
    real = Path.open

    def record_open(path: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", record_open)
    assert reader.read() == first
    assert opened == []


def test_diverged_seed_is_excluded_from_the_mean_and_counted(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "dog", seeds=(0, 1, 2))
    run.evaluate(0, (100.0, math.nan, 300.0))
    progress = RunReader(run.path).read()
    assert progress.evaluations[-1].score == pytest.approx(0.2)
    table = make_table([progress], None)
    assert dict(zip(table.columns, table.rows[0], strict=True))["min..max"].strip() == "0.100..0.300, 1 diverged"


def test_long_training_log_is_read_from_its_end(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "dog", seeds=(0,), env_steps=100_000)
    log = CsvLog(run.path / "training.csv", TRAINING_COLUMNS)
    log.append([{"seed": 0, "env_steps": n, "grad_steps": n, "wall_seconds": n / 10} for n in range(1, 20_000)])
    log.close()
    assert os.path.getsize(run.path / "training.csv") > 4 * 64 * 1024
    progress = RunReader(run.path).read()
    assert progress.env_steps == 19_999
    assert progress.env_steps_per_second == pytest.approx(10.0)


def test_runs_are_found_below_a_directory_also_later(tmp_path: Path) -> None:
    finished_run(tmp_path / "evidence" / "dog" / "b")
    finished_run(tmp_path / "a")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "config.json").write_text("{}")  # not a run
    reader = RunsReader([tmp_path, tmp_path / "a"])
    assert [run.path for run in reader.read()] == [tmp_path / "a", tmp_path / "evidence" / "dog" / "b"]
    finished_run(tmp_path / "c")
    assert [run.path.name for run in reader.read()] == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "empty holds no runs: expected a run directory"),
        ("file", "file is a file: expected a run directory"),
        ("emtpy", "emtpy does not exist: expected a run directory made by .*; did you mean 'empty'"),
    ],
)
def test_path_without_runs_is_an_error(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=message):
        RunsReader([tmp_path / name])


def test_directory_without_runs_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"surefoot: error: {tmp_path} holds no runs")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.json", "{", "config.json is damaged"),
        ("config.json", '{"format": 1}', "config.json lacks an entry"),
        ("config.json", json.dumps({"format": 1, "task": "x", "algorithm": 3, "seeds": 4, "resolved": {}}), "lacks"),
        (
            "config.json",
            json.dumps(
                {"format": 1, "task": "x", "algorithm": {"name": "x"}, "seeds": [0]}
                | {"resolved": {"agent_steps": 10**400, "action_repeat": 2}}
            ),
            "lacks",
        ),
        ("evaluations.csv", "a,b\n1,2\n", "evaluations.csv has no column 'seed'"),
        ("evaluations.csv", ",".join(EVALUATION_COLUMNS) + "\nx,y\n", "line 2 has 2 cells, expected 15"),
        (
            "evaluations.csv",
            ",".join(EVALUATION_COLUMNS) + "\nx,y,2,,,,,,,,,,,,\n",
            "line 2: seed is nan, expected a finite number",
        ),
        ("training.csv", "seed,env_steps,grad_steps,wall_seconds\n0,inf,0,0\n", "line 2: env_steps is inf"),
        ("training.csv", "\udcff\n", "is not a CSV file"),
    ],
)
def test_damaged_run_is_reported_alongside_the_others(name: str, content: str, problem: str, tmp_path: Path) -> None:
    run = finished_run(tmp_path / "bad")
    run.train(10_000, 5_000, 75.0)
    (run.path / name).write_bytes(content.encode(errors="surrogateescape"))
    finished_run(tmp_path / "good")
    bad, good = RunsReader([tmp_path]).read()
    assert bad.state is RunState.UNREADABLE
    assert problem in (bad.problem or "")
    assert good.state is RunState.FINISHED
    lines = watch.plain_lines([bad, good], None, BLOCKS)
    assert len(lines) == 4
    assert lines[-1] == f"unreadable: {bad.problem}"


def test_plain_table_if_output_is_not_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(tmp_path / "dog")
    assert main(["watch", str(tmp_path)]) == 0
    header, row = capsys.readouterr().out.splitlines()
    names = ["run", "state", "task", "algorithm", "seeds", "env", "steps", "score", "min..max", "curve"]
    assert header.split()[: len(names)] == names
    assert row.split()[1:] == [
        *("finished", "dog-run", "crossq-wn", "0-1", "10k/10k", "0.550", "0.500..0.600", "▁█", "1m", "15s")
    ]


def fleet(folder: Path, count: int) -> list[RunProgress]:
    """Return copies of one finished run, which are faster to make than runs."""
    first = finished_run(folder / "dog-run-crossq-wn-000").path
    for index in range(1, count):
        shutil.copytree(first, folder / f"dog-run-crossq-wn-{index:03d}")
    return RunsReader([folder]).read()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160])
def test_screen_fits_the_terminal_and_counts_hidden_runs(width: int, tmp_path: Path) -> None:
    runs = fleet(tmp_path, 30)
    with RunDirectory.open(runs[17].path).lock():
        runs = RunsReader([tmp_path]).read()
    lines = watch.screen(runs, width, 24, BLOCKS).plain.splitlines()
    assert max(map(len, lines[:-1])) <= width
    assert len(lines) <= 24
    assert sum("running" in line for line in lines[:-1]) == 1
    assert "30 runs: 1 running, 29 finished" in lines[-1]
    assert "not shown" in lines[-1]
    for column in ("run", "state", "env steps", "score", "curve"):
        assert column in lines[0]


def test_deleted_runs_leave_an_empty_table(tmp_path: Path) -> None:
    reader = RunsReader([finished_run(tmp_path / "dog").path])
    shutil.rmtree(tmp_path / "dog")
    assert reader.read() == []
    assert "0 runs ·" in watch.screen([], 80, 24, BLOCKS).plain


def test_control_characters_in_a_directory_name_are_escaped(tmp_path: Path) -> None:
    finished_run(tmp_path / "\x1b[2J")
    bad = finished_run(tmp_path / "\x1b[3J")
    (bad.path / "evaluations.csv").write_text("a\n")
    lines = watch.plain_lines(RunsReader([tmp_path]).read(), None, BLOCKS)
    assert "\x1b" not in "".join(lines)
    assert r"\x1b[2J" in lines[1]


def test_wide_screen_shows_every_column(tmp_path: Path) -> None:
    table = make_table(fleet(tmp_path, 1), 200)
    assert table.columns[-3:] == ("env steps/s", "updates/s", "time")
    assert len(table.columns) == 12


def test_live_table_restores_the_cursor_after_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished_run(tmp_path / "first")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    refreshes = []

    def sleep(_: float) -> None:
        refreshes.append(time.monotonic())
        if len(refreshes) == 2:
            raise KeyboardInterrupt
        finished_run(tmp_path / "second")

    monkeypatch.setattr(watch.time, "sleep", sleep)
    assert main(["watch", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "1 run: 1 finished" in out
    assert "2 runs: 2 finished" in out
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l")  # the cursor is shown


def test_sparkline_scales_to_its_range() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == BLOCKS
    assert sparkline([0, 0, 7, 7], 2) == "▁█"
    assert sparkline([3, 3], 8) == "▁▁"
    assert sparkline([0, math.nan, 7], 8) == "▁ █"
    assert sparkline([math.nan], 8) == " "
    assert sparkline([], 8) == ""
    assert sparkline([0, 7], 8, ASCII_BLOCKS) == "_#"


@pytest.mark.parametrize(
    ("count", "text"),
    [(950, "950"), (1_000, "1k"), (44_500, "44.5k"), (52_776, "52.7k"), (999_999, "999k"), (1_250_000, "1.25M")],
)
def test_counts_are_abbreviated(count: int, text: str) -> None:
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.3934, "0.393"), (46.21, "46.2"), (-2110.7, "-2,111"), (math.nan, "-"), (393.42, "393.4")]
)
def test_numbers_are_rounded(value: float, text: str) -> None:
    assert number_text(value) == text
