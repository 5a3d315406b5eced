"""A user's code inside a run: when it is called, that it can stop the run, and that it can do nothing else to it."""

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
from tests.training.small import small
from tests.training.test_resume import assert_same_run

ALGORITHM = small(surefoot.crossq_wn(utd=2))
SETTINGS: dict[str, Any] = {
    "algorithm": ALGORITHM,
    "env_steps": 160,
    "num_seeds": 2,
    "evaluate_every": 50,
    "checkpoint_every": 60,
    "log_every": 40,
    "evaluation_episodes": 1,
}


class Diary(Callback):
    """Writes down every call; raises what it was given when a method is called at or after an env step."""

    def __init__(self, method: str = "", error: Exception | None = None, at: int = 0) -> None:
        self.calls: list[tuple[str, int]] = []
        self.views: list[StepView] = []
        self._method, self._error, self._at = method, error, at

    def _note(self, method: str, env_steps: int) -> None:
        self.calls.append((method, env_steps))
        if self._error is not None and method == self._method and env_steps >= self._at:
            error, self._error = self._error, None
            raise error

    def on_start(self, event: Any) -> None:
        self._note("on_start", event.start_env_steps)

    def on_step(self, view: StepView) -> None:
        self.views.append(view)
        self._note("on_step", view.env_steps)

    def on_evaluation(self, event: Any) -> None:
        self._note("on_evaluation", event.env_steps)

    def on_checkpoint(self, event: Any) -> None:
        self._note("on_checkpoint", event.env_steps)

    def on_finish(self, event: Any) -> None:
        self._note("on_finish", event.env_steps)

    def close(self) -> None:
        self._note("close", 10**9)


def train(out: Path, *callbacks: Callback, **changes: Any) -> surefoot.Run:
    return surefoot.train("probe-action", out=out, observer=Recording(), callbacks=callbacks, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody looks at."""
    return train(tmp_path_factory.mktemp("plain") / "run").path


class Vandal(Diary):
    """Tries to write to everything it is shown."""

    def on_step(self, view: StepView) -> None:
        super().on_step(view)
        for array in (view.observation, view.action, view.reward, view.terminated, view.truncated):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 1
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
        with pytest.raises(AttributeError):
            view.reward = np.zeros(2)  # type: ignore[misc]


def test_a_callback_sees_everything_in_order_and_changes_nothing(plain: Path, tmp_path: Path) -> None:
    vandal = Vandal()
    train(tmp_path / "run", vandal)
    assert_same_run(plain, tmp_path / "run")
    expected = [("on_start", 0), ("on_evaluation", 0)]
    for step in range(1, 161):
        expected.append(("on_step", step))
        expected += [("on_evaluation", step)] * (step in (50, 100, 150, 160))
    expected += [("on_finish", 160), ("close", 10**9)]
    assert [call for call in vandal.calls if call[0] != "on_checkpoint"] == expected
    # Checkpoints are told of once they are on disk: after the step they stand at, and before the next one begins.
    told = [index for index, call in enumerate(vandal.calls) if call[0] == "on_checkpoint"]
    assert [vandal.calls[index][1] for index in told] == [0, 60, 120, 160]
    for index, earliest, latest in zip(told, (0, 60, 120, 160), (0, 120, 160, 160), strict=True):
        steps = [env_steps for name, env_steps in vandal.calls[:index] if name == "on_step"]
        assert earliest <= max(steps, default=0) <= latest
    assert vandal.calls[-3] == ("on_checkpoint", 160)
    assert [view.agent_steps for view in vandal.views] == list(range(1, 161))
    assert [view.grad_steps for view in vandal.views] == [2 * max(0, n - 100) for n in range(1, 161)]
    # Kept views keep their values: the probe's reward says how near the action was to what had been observed.
    for before, view in itertools.pairwise(vandal.views):
        assert view.seeds == (0, 1)
        np.testing.assert_allclose(
            view.reward, -np.square(view.action[:, 0] - 0.5 * before.observation[:, 0]), atol=1e-5
        )


@pytest.mark.parametrize(
    ("method", "at", "stopped_at"),
    [
        ("on_start", 0, 0),
        ("on_checkpoint", 0, 0),
        ("on_step", 100, 100),  # an evaluation is due at this very step
        ("on_checkpoint", 60, None),  # told when it is on disk
        ("on_finish", 0, 160),
    ],
)
def test_stop_ends_in_good_order_wherever_it_is_raised(
    method: str, at: int, stopped_at: int | None, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stopping, other = Diary(method, StopTraining(), at), Diary()
    run = train(out, stopping, other)
    if stopped_at is None:
        stopped_at = other.calls[-2][1]
        assert 60 <= stopped_at <= 120
    assert run.completed == (stopped_at == 160)
    # The other callback misses nothing, and both hear of the end.
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
        # Failures of a run itself are named after the task and the step; these are not the run's.
        ("on_start", EnvironmentFailure(3, "mine")),
        ("on_evaluation", RunFailure("mine")),
    ],
)
def test_what_a_callback_raises_reaches_the_caller_as_it_is(
    method: str, error: Exception, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    raising, other = Diary(method, error, at=0 if method == "on_start" else 50), Diary("on_step", StopTraining(), at=65)
    with pytest.raises(type(error)) as raised:
        train(out, raising, other)
    assert raised.value is error
    assert [name for name, _ in other.calls].count("close") == 1
    # The lock is free, and the last checkpoint good; the callback may have been raising while that one was told of.
    with RunDirectory.open(out).lock() as directory:
        if method != "on_start":
            last = {"on_step": 0, "on_evaluation": 0, "on_checkpoint": 60}.get(method, 65)
            assert directory.checkpoints.load().env_steps == last


def test_closing_that_fails_hides_nothing(tmp_path: Path) -> None:
    class Leaky(Diary):
        def close(self) -> None:
            super().close()
            raise OSError("socket gone")

    leaky, other = Leaky("on_step", LookupError("mine"), at=3), Diary()
    with pytest.raises(LookupError, match="mine") as raised:
        train(tmp_path / "run", leaky, other)
    assert raised.value.__notes__ == ["Leaky.close failed as well: OSError('socket gone')"]
    assert other.calls[-1] == ("close", 10**9)


@pytest.mark.parametrize(
    ("callbacks", "said"),
    [
        ([Diary], r"holds the class Diary, expected an object: Diary\(\)"),
        ([print], "holds <built-in function print>"),
        (Diary(), r"must be a list of Callback objects, got one Diary"),
    ],
)
def test_what_is_no_callback_is_refused(callbacks: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        surefoot.train("probe-action", out=tmp_path / "run", callbacks=callbacks, **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_refused_request_calls_nothing(tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(UserError, match="warm-up"):
        train(tmp_path / "run", diary, env_steps=50)
    assert diary.calls == []
