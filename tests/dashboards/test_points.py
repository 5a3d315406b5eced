"""Points of dashboards: means per seed and over seeds, each row exactly once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from surefoot.dashboards import LogFollower
from surefoot.errors import UserError

from .support import FakeRun


def test_series_of_seeds_and_mean(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run")
    run.log(100, {3: 1.0, 4: 3.0})
    run.evaluate(100, {3: [10.0, 20.0], 4: [30.0, 50.0]}, success=True)
    (point,) = LogFollower(run.path).new_points()
    assert (point.env_steps, point.agent_steps, point.grad_steps, point.wall_seconds) == (100, 50, 100, 50.25)
    common = {"evaluation/length_env_steps": 1000.0, "evaluation/success_any": 1.0, "evaluation/success_last": 0.5}
    assert point.series == {
        "seed_3": {"training/critic_loss": 1.0, "evaluation/return": 15.0, "evaluation/score": 0.015} | common,
        "seed_4": {"training/critic_loss": 3.0, "evaluation/return": 40.0, "evaluation/score": 0.04} | common,
        "mean": {"training/critic_loss": 2.0, "evaluation/return": 27.5, "evaluation/score": 0.0275} | common,
    }


def test_non_finite_values_are_left_out(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run", seeds=(0, 1, 2))
    run.evaluate(0, {0: [math.nan, 5.0], 1: [2.0, 4.0], 2: [6.0, 8.0]})
    run.log(10, {0: math.inf, 1: 1.0, 2: 2.0})
    first, second = LogFollower(run.path).new_points()
    assert "evaluation/return" not in first.series["seed_0"]
    assert first.series["mean"]["evaluation/return"] == 5.0
    assert first.series["seed_0"]["evaluation/length_env_steps"] == 1000.0  # of the episode that was played
    assert "training/critic_loss" not in second.series["seed_0"]
    assert second.series["mean"] == {"training/critic_loss": 1.5}
    assert "evaluation/success_any" not in first.series["mean"]  # this task defines none


def test_new_rows_are_read_once_in_order(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run", seeds=(0,))
    follower = LogFollower(run.path)
    assert follower.new_points() == []
    run.evaluate(200, {0: [1.0]})
    run.log(100, {0: 1.0})
    assert [point.env_steps for point in follower.new_points()] == [100, 200]
    assert follower.new_points() == []
    run.log(300, {0: 2.0})
    assert [point.env_steps for point in follower.new_points()] == [300]


def test_incomplete_row_is_read_when_complete(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run", seeds=(0,))
    follower = LogFollower(run.path)
    with (run.path / "training.csv").open("a") as stream:
        stream.write("0,100,50,100,,2.5,1")
        stream.flush()
        assert follower.new_points() == []
        stream.write("0.0\n")
    (point,) = follower.new_points()
    assert (point.wall_seconds, point.series["seed_0"]) == (10.0, {"training/critic_loss": 2.5})


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("training.csv", "seed,env_steps\n", r"training\.csv has no column 'agent_steps'"),
        ("evaluations.csv", "a,b\n1,2\n", r"evaluations\.csv has no column 'seed'"),
        ("training.csv", None, r"cannot read .*training\.csv: No such file"),
        ("training.csv", "\xff\xfe\n", r"training\.csv is not a CSV file"),
        ("+training.csv", "0,100,50\n", r"training\.csv, line 2 has 3 cells, expected 7"),
        ("+training.csv", "0,100,50,100,x,2.5,10\n", r"line 2: episode_return is 'x', expected a number"),
        ("+training.csv", "0,,50,100,1,2.5,10\n", r"line 2: env_steps is nan, expected a finite number"),
    ],
)
def test_damaged_log_error_names_line(tmp_path: Path, file: str, content: str | None, message: str) -> None:
    run = FakeRun(tmp_path / "run", seeds=(0,))
    path = run.path / file.removeprefix("+")
    if content is None:
        path.unlink()
    else:
        path.write_bytes((path.read_bytes() if file.startswith("+") else b"") + content.encode("latin-1"))
    with pytest.raises(UserError, match=message):
        LogFollower(run.path).new_points()


def test_broken_logs_can_be_left_out(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "run", seeds=(0,))
    run.log(100, {0: 2.5})
    (run.path / "evaluations.csv").unlink()
    (run.path / "diagnostics.csv").write_bytes(b"\xff\n")
    left_out: list[str] = []
    (point,) = LogFollower(run.path).new_points(left_out.append)
    assert point.series["seed_0"] == {"training/critic_loss": 2.5}
    assert ["diagnostics.csv" in left_out[0], "evaluations.csv" in left_out[1]] == [True, True]
    (run.path / "training.csv").unlink()
    with pytest.raises(UserError, match=r"cannot read .*training\.csv"):
        LogFollower(run.path).new_points(left_out.append)
