"""Console displays of a run."""

from __future__ import annotations

import dataclasses
import io
import math
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from surefoot.cli.display import (
    LogDisplay,
    bytes_text,
    closing_lines,
    environments_text,
    make_display,
    path_text,
    returns_text,
    solved_text,
)
from surefoot.cli.live import LiveDisplay, render
from surefoot.training.events import EvaluationDone, Progress, RunFinished, RunStarted
from surefoot.training.progress_text import duration_text


def events(seeds: int) -> tuple[RunStarted, Progress, EvaluationDone]:
    numbers = tuple(range(seeds))
    return (
        RunStarted(Path("runs/[x]"), "myo-reach", "crossq-wn", 5, numbers, 40_000, 0, "CPU, 2 cores", 3 * 2**30, 2),
        Progress(10_000, 5_000, 25_000, 512.0, 2_560.0, 3_725.0, (None, *(50.0 + n for n in numbers[1:]))),
        EvaluationDone(10_000, numbers, tuple(100.0 + n for n in numbers), tuple(n / 10 for n in numbers), 30.0),
    )


def drawn(*parts: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(render(*parts, 75.0))  # type: ignore[arg-type, call-arg]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"env_workers": 0}, "environments in this process"),
        ({"env_workers": 1}, "environments in 1 worker process"),
        ({"engine": "envpool"}, "environments in EnvPool"),
        ({"engine": "jax"}, "environments in the compiled program"),
    ],
)
def test_place_of_the_environments(changes: dict[str, Any], expected: str) -> None:
    assert environments_text(dataclasses.replace(events(1)[0], **changes)) == expected


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ((5.0,), "5.0"),
        ((1.0, 3.0), "2.0 (seeds 1.0 to 3.0)"),
        ((math.nan, 1.0, 3.0), "2.0 (seeds 1.0 to 3.0, 1 diverged)"),
        ((1.0, math.nan), "1.0 (1 diverged)"),
    ],
)
def test_diverged_seeds_are_counted_and_left_out(returns: tuple[float, ...], expected: str) -> None:
    seeds = tuple(range(len(returns)))
    shares = tuple(0.5 if value == value else value for value in returns)
    event = EvaluationDone(10_000, seeds, returns, shares, 30.0)
    assert returns_text(event) == expected
    assert solved_text(shares, None) == "50%"


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("seeds", [1, 10])
def test_panel_shows_run_progress_and_every_seed(seeds: int, width: int) -> None:
    text = drawn(*events(seeds), width=width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.replace("│", " ").split())
    for part in (
        "crossq-wn on myo-reach",
        "UTD 5",
        "float32 on CPU, 2 cores",
        "replay 3.0 GiB",
        "environments in 2 worker processes",
        "runs/[x]",
        "10,000 of 40,000 env steps, 25%",
        "1m 15s 512 env steps/s 2,560 updates/s 1h 02m left",
        "evaluation at 10,000",
        "0 - 100.0 0%",
    ):
        assert part in words
    for seed in range(1, seeds):
        assert f"{seed} {50 + seed}.0 {100 + seed}.0 {10 * seed}%" in words
    assert ("mean 55.0 104.5 45%" in words) == (seeds == 10)


def test_panel_before_first_progress() -> None:
    started, _, _ = events(2)
    text = drawn(started, None, None, width=80)
    assert "1m 15s  starting" in text
    assert "0 of 40,000 env steps, 0%" in text


def test_live_display_restores_terminal_after_error() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    started, progress, _ = events(1)
    with pytest.raises(RuntimeError), LiveDisplay(console) as display:  # noqa: PT012
        display.on_start(started)
        display.on_progress(progress)
        raise RuntimeError("broken")
    assert isinstance(console.file, io.StringIO)
    output = console.file.getvalue()
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert output.rindex(shown) > output.rindex(hidden)


def test_live_display_prints_evaluations_and_messages_verbatim() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    started, progress, evaluation = events(1)
    with LiveDisplay(console) as display:
        display.on_start(started)
        display.on_progress(progress)
        display.on_evaluation(evaluation)
        display.on_message("[bold]no markup[/bold]")
        display.on_finish(RunFinished(started.path, 40_000, True, 90.0, evaluation, 1.0))
    assert isinstance(console.file, io.StringIO)
    output = console.file.getvalue()
    for line in ("env steps 10,000/40,000  return 100.0  solved 0%", "[bold]no markup[/bold]", "in 1m 30s"):
        assert line in output
    assert display.completed


def test_log_display_is_used_without_a_terminal() -> None:
    assert type(make_display()) is LogDisplay


def test_log_display_prints_progress_from_the_start_and_stops_at_the_end() -> None:
    console = Console(file=io.StringIO(), width=80)
    assert isinstance(console.file, io.StringIO)
    output = console.file
    started, progress, evaluation = events(1)

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + 10
        while text not in output.getvalue():
            assert time.monotonic() < deadline, f"{text!r} not in {output.getvalue()!r}"
            time.sleep(0.005)

    with LogDisplay(console, interval=0.02) as display:
        wait_for("building environments, 0s")
        display.on_start(started)
        wait_for("starting, 0s")
        display.on_progress(progress)
        wait_for("env steps 10,000/40,000  512 env steps/s  2,560 updates/s  1h 02m left")
        display.on_finish(RunFinished(started.path, 40_000, True, 90.0, evaluation, 1.0))
        printed = output.getvalue()
        time.sleep(0.1)
    assert output.getvalue() == printed


def test_closing_lines_without_random_episodes_or_evaluation() -> None:
    lines = closing_lines(RunFinished(Path("runs/a b"), 10, True, 3.0, None, math.nan), None)
    assert lines[0] == "done: 10 env steps in 3s"
    assert not any("random" in line or "final" in line for line in lines)
    assert "  evaluate it    surefoot evaluate 'runs/a b'" in lines
    stopped = closing_lines(RunFinished(Path("runs/a"), 10, False, 3.0, None, math.nan), "my.envs:arm")
    assert stopped[-1] == "  continue with  surefoot resume runs/a --task my.envs:arm"


def test_closing_lines_about_a_callable_without_a_name_are_python() -> None:
    lines = closing_lines(RunFinished(Path("runs/a"), 10, True, 3.0, None, math.nan), "")
    assert lines[-3:] == [
        '  evaluate it    surefoot.evaluate("runs/a", task=...)',
        '  train longer   surefoot.resume("runs/a", task=..., env_steps=20)',
        '  in Python      surefoot.load_policy("runs/a")',
    ]


def test_resumed_run_prints_its_start(capsys: pytest.CaptureFixture[str]) -> None:
    started, _, _ = events(1)
    display = make_display()
    display.on_start(dataclasses.replace(started, start_env_steps=5_000, env_workers=1))
    out = capsys.readouterr().out
    assert out.startswith("resuming at env step 5,000: crossq-wn on myo-reach")
    assert "environments in 1 worker process;" in out


def test_paths_are_relative_inside_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_text(tmp_path / "runs" / "dog") == "runs/dog"
    assert path_text(tmp_path.parent / "dog") == str(tmp_path.parent / "dog")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (307, "5m 07s"), (7380, "2h 03m"), (273_600, "3d 04h")],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(512, "512 B"), (2048, "2 KiB"), (3 * 2**20, "3 MiB"), (5_690_000_000, "5.3 GiB")]
)
def test_sizes_have_a_readable_unit(count: int, text: str) -> None:
    assert bytes_text(count) == text
