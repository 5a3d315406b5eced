"""Fake of the training API for commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import surefoot.training
from surefoot.training.api import Run
from surefoot.training.evaluation import EvaluationResult
from surefoot.training.events import EvaluationDone, Progress, RunFinished, RunStarted

PATH = Path("runs/cheetah-run-crossq-wn-1")
EVALUATION = EvaluationDone(2000, (3, 4), (100.0, 300.0), None, 61.0)


@dataclass
class FakeApi:
    """Fake of ``surefoot.training.api`` that records its calls and sends an observer the events of a short run."""

    calls: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)
    completed: bool = True
    signalled: bool = False
    success: bool = False
    error: BaseException | None = None

    def run(self, name: str, target: Any, observer: Any, options: dict[str, Any]) -> Run:
        self.calls.append((name, target, options))
        observer.on_start(RunStarted(PATH, "cheetah-run", "crossq-wn", 2, (3, 4), 2000, 0, "CPU, 2 cores", 2**20, 0))
        observer.on_progress(Progress(1000, 500, 1000, 250.0, 130.0, 4.0, (None, 12.0)))
        if self.error is not None:
            raise self.error
        observer.on_evaluation(EVALUATION)
        observer.on_message("checkpoint 1000 is damaged: the one before it is used")
        observer.on_finish(RunFinished(PATH, 2000, self.completed, 61.0, EVALUATION, 8.25))
        if self.signalled:
            raise KeyboardInterrupt
        return Run(PATH, self.completed)

    def evaluate(
        self, path: Path, *, episodes: int, task: str | None, env_workers: int | None
    ) -> tuple[tuple[int, ...], EvaluationResult]:
        self.calls.append(("evaluate", path, {"episodes": episodes, "task": task, "env_workers": env_workers}))
        returns, solved = np.array([[50.0, 150.0], [300.0, 300.0]]), np.array([[False, True], [True, True]])
        steps = np.array([[0, 40], [20, 60]]) if self.success else None
        last = np.zeros_like(solved) if self.success else None
        return (3, 4), EvaluationResult(returns, np.full((2, 2), 100), solved if self.success else None, last, steps)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    module: Any = ModuleType("surefoot.training.api")

    def command(name: str) -> Callable[..., Run]:
        return lambda target, *, observer, **options: fake.run(name, target, observer, options)

    module.train, module.resume, module.evaluate = command("train"), command("resume"), fake.evaluate
    monkeypatch.setitem(sys.modules, "surefoot.training.api", module)
    monkeypatch.setattr(surefoot.training, "api", module, raising=False)
    return fake
