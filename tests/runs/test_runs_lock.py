"""Lock files of run directories."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from surefoot.errors import RunFailure, UserError
from surefoot.runs import lock as lock_module
from surefoot.runs.lock import RunLock
from surefoot.runs.owner import read_owner, this_process


def test_lock_names_process_and_is_released(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / ".lock")
    lock.acquire()
    assert read_owner(tmp_path / ".lock").owner == this_process()
    assert lock.note is None
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}; wait"):
        RunLock(tmp_path / ".lock").acquire()
    lock.release()
    assert read_owner(tmp_path / ".lock").released
    RunLock(tmp_path / ".lock").acquire()


def test_kept_lock_outlives_release(tmp_path: Path) -> None:
    lock, other = (RunLock(tmp_path / ".lock") for _ in range(2))
    lock.keep()()  # no effect without the lock
    lock.acquire()
    first, second = lock.keep(), lock.keep()
    first()
    lock.release()
    with pytest.raises(UserError, match="in use"):
        other.acquire()
    second()
    second()  # idempotent
    other.acquire()
    other.release()


@pytest.mark.filterwarnings("ignore:.*fork")  # other tests may have left threads
def test_forked_child_holds_no_lock(tmp_path: Path) -> None:
    lock, other = (RunLock(tmp_path / ".lock") for _ in range(2))
    lock.acquire()
    unlock = lock.keep()
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.close(write)
        os.read(read, 1)  # until the parent is done
        os._exit(0)
    lock.release()
    unlock()
    try:
        other.acquire()
    finally:
        os.close(write)
        os.close(read)
        assert os.waitpid(child, 0)[1] == 0


def test_testing_lock_does_not_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lock").touch()
    descriptor = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    monkeypatch.setattr(lock_module.time, "sleep", lambda _: os.close(descriptor))
    lock = RunLock(tmp_path / ".lock")
    lock.acquire()
    assert lock.held
    lock.release()


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_full_disk_raises_run_failure_and_leaves_lock_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lock = RunLock(tmp_path / ".lock")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(RunFailure, match=r"\.lock: No space left on device"):
            lock.acquire()
    assert not lock.held
    RunLock(tmp_path / ".lock").acquire()


def test_files_of_a_removed_lock_are_gone(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / ".lock")
    lock.remove()  # no effect without the lock
    lock.acquire()
    lock.remove()
    assert not lock.held
    assert list(tmp_path.iterdir()) == []


def test_failed_lock_file_raises_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot lock .*absent: No such file"):
        RunLock(tmp_path / "absent" / ".lock").acquire()
