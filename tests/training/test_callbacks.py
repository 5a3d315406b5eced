"""Callbacks: order of calls, stopping, failures, and independence of training from them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.errors import EnvironmentFailure, RunFailure, UserError
from surefoot.runs import RunDirectory
from surefoot.training.callbacks import Callback, StepView, StopTraining
from tests.training.recording import Recording
from tests.training.small import TWO_SEEDS, small
from tests.training.test_resume import assert_same_run

ALGORITHM = small(surefoot.crossq_wn(utd=2))
SETTINGS: dict[str, Any] = {
    "algorithm": ALGORITHM,
    "env_steps": 160,
    **TWO_SEEDS,
    "evaluate_every": 50,
    "checkpoint_every": 60,
    "log_every": 40,
    "evaluation_episodes": 1,
}


class CallLog(Callback):
    """Records every call; raises ``error`` once, from ``method`` at or after env step ``at``."""

    def __init__(self, method: str = "", error: Exception | None = None, at: int = 0) -> None:
        self.calls: list[tuple[str, int]] = []
        self.views: list[StepView] = []
        self._method, self._error, self._at = method, error, at

    def _log(self, method: str, env_steps: int) -> None:
        self.calls.append((method, env_steps))
        if self._error is not None and method == self._method and env_steps >= self._at:
            error, self._error = self._error, None
            raise error

    def on_start(self, event: Any) -> None:
        self._log("on_start", event.start_env_steps)

    def on_step(self, view: StepView) -> None:
        self.views.append(view)
        self._log("on_step", view.env_steps)

    def on_evaluation(self, event: Any) -> None:
        self._log("on_evaluation", event.env_steps)

    def on_checkpoint(self, event: Any) -> None:
        self._log("on_checkpoint", event.env_steps)

    def on_finish(self, event: Any) -> None:
        self._log("on_finish", event.env_steps)

    def close(self) -> None:
        self._log("close", 10**9)


def train(out: Path, *callbacks: Callback, **changes: Any) -> surefoot.Run:
    return surefoot.train("probe-action", out=out, observer=Recording(), callbacks=callbacks, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without callbacks."""
    return train(tmp_path_factory.mktemp("plain") / "run").path


class Writing(CallLog):
    """Tries to write to the views."""

    def on_step(self, view: StepView) -> None:
        super().on_step(view)
        for array in (view.observation, view.action, view.reward, view.terminated, view.truncated):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 1
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
        with pytest.raises(AttributeError):
            view.reward = np.zeros(2)  # type: ignore[misc]


def test_calls_are_in_order_and_do_not_change_the_run(plain: Path, tmp_path: Path) -> None:
    writing = Writing()
    train(tmp_path / "run", writing)
    assert_same_run(plain, tmp_path / "run")
    expected = [("on_start", 0), ("on_evaluation", 0)]
    for step in range(1, 161):
        expected.append(("on_step", step))
        expected += [("on_evaluation", step)] * (step in (50, 100, 150, 160))
    expected += [("on_finish", 160), ("close", 10**9)]
    assert [call for call in writing.calls if call[0] != "on_checkpoint"] == expected
    # After the checkpoint's step, and before the next checkpoint.
    announced = [index for index, call in enumerate(writing.calls) if call[0] == "on_checkpoint"]
    assert [writing.calls[index][1] for index in announced] == [0, 60, 120, 160]
    for index, earliest, latest in zip(announced, (0, 60, 120, 160), (0, 120, 160, 160), strict=True):
        steps = [env_steps for name, env_steps in writing.calls[:index] if name == "on_step"]
        assert earliest <= max(steps, default=0) <= latest
    assert writing.calls[-3] == ("on_checkpoint", 160)
    assert [view.agent_steps for view in writing.views] == list(range(1, 161))
    assert [view.grad_steps for view in writing.views] == [2 * max(0, n - 100) for n in range(1, 161)]
    # Views are copies: the reward of each is a function of its action and of the previous observation.
    for before, view in itertools.pairwise(writing.views):
        assert view.seeds == (0, 1)
        np.testing.assert_allclose(
            view.reward, -np.square(view.action[:, 0] - 0.5 * before.observation[:, 0]), atol=1e-5
        )


@pytest.mark.parametrize(
    ("method", "at", "stopped_at"),
    [
        ("on_start", 0, 0),
        ("on_checkpoint", 0, 0),
        ("on_step", 100, 100),  # an evaluation is due at this step
        ("on_checkpoint", 60, None),  # called once it has been written
        ("on_finish", 0, 160),
    ],
)
def test_stop_training_from_any_method(
    method: str, at: int, stopped_at: int | None, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stopping, other = CallLog(method, StopTraining(), at), CallLog()
    run = train(out, stopping, other)
    if stopped_at is None:
        stopped_at = other.calls[-2][1]
        assert 60 <= stopped_at <= 120
    assert run.completed == (stopped_at == 160)
    # Both callbacks get every call.
    assert other.calls == stopping.calls
    assert other.calls[-2:] == [("on_finish", stopped_at), ("close", 10**9)]
    assert RunDirectory.open(out).checkpoints.load().env_steps == stopped_at
    assert surefoot.load_policy(out).env_steps == stopped_at
    if method == "on_step":
        surefoot.resume(out, observer=Recording())
        assert_same_run(plain, out)


@pytest.mark.parametrize(
    ("method", "error"),
    [
        *[(method, LookupError("mine")) for method in ("on_step", "on_checkpoint", "on_finish", "close")],
        # Types whose messages get task and step where the run itself raises them.
        ("on_start", EnvironmentFailure(3, "mine")),
        ("on_evaluation", RunFailure("mine")),
    ],
)
def test_exception_of_a_callback_reaches_the_caller_unchanged(
    method: str, error: Exception, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    raising, other = (
        CallLog(method, error, at=0 if method == "on_start" else 50),
        CallLog("on_step", StopTraining(), at=65),
    )
    with pytest.raises(type(error)) as raised:
        train(out, raising, other)
    assert raised.value is error
    assert [name for name, _ in other.calls].count("close") == 1
    # The lock is free and the last checkpoint is intact.
    with RunDirectory.open(out).lock() as directory:
        if method != "on_start":
            last = {"on_step": 0, "on_evaluation": 0, "on_checkpoint": 60}.get(method, 65)
            assert directory.checkpoints.load().env_steps == last


def test_exception_of_close_is_a_note_on_the_failure(tmp_path: Path) -> None:
    class FailingClose(CallLog):
        def close(self) -> None:
            super().close()
            raise OSError("socket gone")

    failing, other = FailingClose("on_step", LookupError("mine"), at=3), CallLog()
    with pytest.raises(LookupError, match="mine") as raised:
        train(tmp_path / "run", failing, other)
    assert raised.value.__notes__ == ["FailingClose.close failed as well: OSError('socket gone')"]
    assert other.calls[-1] == ("close", 10**9)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([CallLog], r"holds the class CallLog, expected an object: CallLog\(\)"),
        ([print], "holds <built-in function print>"),
        (CallLog(), r"must be a list of Callback objects, got one CallLog"),
    ],
)
def test_invalid_callbacks_are_errors(callbacks: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        surefoot.train("probe-action", out=tmp_path / "run", callbacks=callbacks, **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_invalid_request_calls_no_callback(tmp_path: Path) -> None:
    log = CallLog()
    with pytest.raises(UserError, match="warm-up"):
        train(tmp_path / "run", log, env_steps=50)
    assert log.calls == []
