"""Progress display in notebooks, and representations of results."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.training.evaluation import EvaluationResult
from surefoot.training.events import Observer, Progress, RunFinished, RunStarted
from surefoot.training.notebook import NotebookObserver, default_observer

STARTED = RunStarted(Path("runs/x"), "cheetah-run", "sac", 1, (0,), 2000, 0, "CPU, 2 cores", 2**20, 0)
PROGRESS = Progress(1000, 500, 1000, 250.0, 130.0, 64.0, (None,))
FINISHED = RunFinished(Path("runs/x"), 2000, True, 61.0, None, 8.25)


class Display:
    """The part of IPython's ``display`` that is used: one output, which is updated."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, content: dict[str, str], *, raw: bool, display_id: bool) -> Display:
        assert raw
        assert display_id
        assert self.shown == []
        self.shown.append(content["text/plain"])
        return self

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(content["text/plain"])


def install(monkeypatch: pytest.MonkeyPatch, shell: Any, display: Any) -> None:
    module, inner = ModuleType("IPython"), ModuleType("IPython.display")
    module.get_ipython, inner.display = lambda: shell, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)


def play(observer: Observer) -> None:
    observer.on_start(STARTED)
    observer.on_progress(PROGRESS)
    observer.on_finish(FINISHED)


def test_notebook_shows_progress_with_the_time_left_in_one_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    display = Display()
    install(monkeypatch, SimpleNamespace(kernel=object()), display)
    play(default_observer())
    assert display.shown == [
        "starting",
        "env steps 1,000/2,000  250 env steps/s  130 updates/s  1m 04s left",
        "env steps 2,000/2,000 in 1m 01s",
    ]
    assert capsys.readouterr().out.splitlines()[-1] == "finished at env step 2,000"


def test_other_programs_print_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(default_observer()) is Observer
    for shell in (None, SimpleNamespace(kernel=None), SimpleNamespace()):  # a script, and IPython's terminal
        install(monkeypatch, shell, Display())
        assert type(default_observer()) is Observer


def test_lost_notebook_does_not_end_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("connection lost")

    play(NotebookObserver(fail))
    assert "finished" in capsys.readouterr().out


def test_reprs_of_results_are_short() -> None:
    returns, solved = np.array([[1.0, 2.0], [3.0, 812.25]]), np.array([[True, True], [True, False]])
    lengths = np.full((2, 2), 9)
    assert [
        repr(EvaluationResult(returns, lengths, None, None, None)),
        repr(EvaluationResult(returns, lengths, solved, solved, lengths)),
        repr(surefoot.Run(Path("runs/x"), completed=True)),
    ] == [
        "EvaluationResult(seeds=2, episodes=2, mean_return=204.6)",
        "EvaluationResult(seeds=2, episodes=2, mean_return=204.6, solved=75%)",
        "Run('runs/x', completed=True)",
    ]
