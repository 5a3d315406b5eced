"""Checkpoints written in the background."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surefoot
from surefoot.errors import RunFailure
from surefoot.runs import CheckpointStore, RunDirectory
from surefoot.training import api
from surefoot.training.callbacks import EventDispatcher
from surefoot.training.events import Observer
from surefoot.training.runtime.background import Background
from tests.training.recording import Recording
from tests.training.small import TWO_SEEDS, small

SETTINGS: dict[str, Any] = {
    "algorithm": small(surefoot.crossq_wn(utd=2)),
    "env_steps": 160,
    "checkpoint_every": 110,
    "evaluate_every": 1_000,
    "evaluation_episodes": 1,
    **TWO_SEEDS,
}


def test_job_is_finished_once() -> None:
    writer = Background("the checkpoint that was being written")
    assert not writer.finished(wait=True)
    may_end, ended = threading.Event(), []

    def write() -> None:
        assert may_end.wait(timeout=60)
        ended.append(True)

    writer.start(write)
    assert not writer.finished()
    may_end.set()
    assert writer.finished(wait=True)
    assert ended == [True]
    assert not writer.finished(wait=True)


def test_error_of_a_job_is_raised_once() -> None:
    writer = Background("the checkpoint that was being written")

    def fail() -> None:
        raise RunFailure("the disk is full")

    writer.start(fail)
    with pytest.raises(RunFailure, match="the disk is full"):
        writer.finished(wait=True)
    assert not writer.finished(wait=True)


def _settle(writer: Background, write: Callable[[], None], error: BaseException) -> None:
    with writer.settled():
        writer.start(write)
        raise error


def test_second_failure_is_a_note_on_the_first() -> None:
    def fail() -> None:
        raise RunFailure("the disk is full")

    with pytest.raises(LookupError) as raised:
        _settle(Background("the checkpoint that was being written"), fail, LookupError("mine"))
    assert raised.value.__notes__ == ["the checkpoint that was being written failed as well: the disk is full"]


def test_lock_is_released_if_the_thread_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        surefoot.train("probe-action", out=tmp_path / "run", **SETTINGS)
    with RunDirectory.open(tmp_path / "run").lock():
        pass


def test_interrupt_does_not_wait() -> None:
    writer, may_end = Background("the checkpoint that was being written"), threading.Event()

    def write() -> None:
        assert may_end.wait(timeout=60)

    with pytest.raises(KeyboardInterrupt):
        _settle(writer, write, KeyboardInterrupt())
    assert not writer.finished()
    may_end.set()
    assert writer.finished(wait=True)


class _SlowDisk(surefoot.Callback):
    """Delays writing the checkpoint of step 110 until step 130, and records the steps of its events."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.may_write, self.announced_at, self._now = threading.Event(), dict[int, int](), 0
        save = CheckpointStore.save

        def slow(store: CheckpointStore, env_steps: int, *arguments: Any, **named: Any) -> Any:
            if env_steps == 110:
                assert self.may_write.wait(timeout=60)
            return save(store, env_steps, *arguments, **named)

        patch.setattr(CheckpointStore, "save", slow)

    def on_step(self, view: surefoot.StepView) -> None:
        self._now = view.env_steps
        if self._now == 130:
            self.may_write.set()

    def on_checkpoint(self, event: Any) -> None:
        self.announced_at[event.env_steps] = self._now


def test_checkpoint_is_that_of_its_step_while_the_run_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        disk = _SlowDisk(patch)
        surefoot.train("probe-action", out=tmp_path / "slow", callbacks=[disk], observer=Recording(), **SETTINGS)
    assert disk.announced_at[0] == 0
    assert 130 <= disk.announced_at[110] <= 160
    assert disk.announced_at[160] == 160
    surefoot.train("probe-action", out=tmp_path / "plain", observer=Recording(), **SETTINGS)
    for env_steps in (110, 160):
        own, expected = (_arrays(tmp_path / name, env_steps) for name in ("slow", "plain"))
        assert own.keys() == expected.keys()
        for name in own:
            np.testing.assert_array_equal(own[name], expected[name], err_msg=name)


def _arrays(path: Path, env_steps: int) -> dict[str, np.ndarray]:
    folder = path / "checkpoints" / f"env_steps_{env_steps:012d}"
    files = [*sorted(folder.glob("*.npz")), *sorted((path / "replay").glob("*.npz"))]
    assert len(files) >= 5
    found = {}
    for file in files:
        with np.load(file) as arrays:
            found |= {f"{file.name}/{name}": arrays[name] for name in arrays.files}
    return found


def test_failing_write_ends_the_run_before_the_next_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = CheckpointStore.save

    def full(store: CheckpointStore, env_steps: int, *arguments: Any, **named: Any) -> Any:
        if env_steps == 110:
            raise RunFailure("cannot write: No space left on device")
        return save(store, env_steps, *arguments, **named)

    monkeypatch.setattr(CheckpointStore, "save", full)
    with pytest.raises(RunFailure, match=r"env step 1[1-6][0-9]: cannot write: No space left .* is intact") as failure:
        surefoot.train("probe-action", out=tmp_path / "run", observer=Recording(), **SETTINGS)
    assert "\n" not in str(failure.value)
    assert RunDirectory.open(tmp_path / "run").checkpoints.load().env_steps == 0


def test_lock_is_held_until_the_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    save = CheckpointStore.save

    def slow(store: CheckpointStore, env_steps: int, *arguments: Any, **named: Any) -> Any:
        if env_steps == 110:
            time.sleep(1.0)
        saved = save(store, env_steps, *arguments, **named)
        order.append(f"written {env_steps}")
        return saved

    class Failing(surefoot.Callback):
        def on_step(self, view: surefoot.StepView) -> None:
            if view.env_steps == 111:
                raise LookupError("mine")

        def close(self) -> None:
            order.append("closed")

    monkeypatch.setattr(CheckpointStore, "save", slow)
    with pytest.raises(LookupError, match="mine"):
        surefoot.train("probe-action", out=tmp_path / "run", callbacks=[Failing()], observer=Recording(), **SETTINGS)
    assert order == ["written 0", "written 110", "closed"]
    with RunDirectory.open(tmp_path / "run").lock() as directory:
        assert directory.checkpoints.load().env_steps == 110


def test_thread_that_cannot_be_started_is_a_run_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RunFailure, match="cannot start a thread for the job: can't start new thread"):
        Background("the job").start(lambda: None)


def test_missing_file_locks_are_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    directory = RunDirectory.create(tmp_path, {"task": "t"})
    events = EventDispatcher(Observer(), ())
    with directory.lock():
        api._report_lock(directory, events)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(fcntl, "flock", refuse)
    with directory.lock():
        api._report_lock(directory, events)
    (line,) = capsys.readouterr().out.splitlines()
    assert "is on a file system without locks (No locks available): its file .lock-1" in line
