"""The lock file: what keeps a run from being locked, and whose fault it is."""

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


def test_it_names_its_process_and_is_free_again_after_release(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / ".lock")
    lock.acquire()
    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}; wait"):
        RunLock(tmp_path / ".lock").acquire()
    lock.release()
    RunLock(tmp_path / ".lock").acquire()


def test_it_is_kept_for_a_thread_that_writes_on(tmp_path: Path) -> None:
    lock, other = (RunLock(tmp_path / ".lock") for _ in range(2))
    lock.keep()()  # Without the lock, nothing.
    lock.acquire()
    first, second = lock.keep(), lock.keep()
    first()
    lock.release()
    with pytest.raises(UserError, match="in use"):
        other.acquire()
    second()
    second()  # As often as you like.
    other.acquire()
    other.release()


@pytest.mark.filterwarnings("ignore:.*fork")  # Other tests may have left threads; this child only waits and ends.
def test_a_forked_child_keeps_no_lock(tmp_path: Path) -> None:
    lock, other = (RunLock(tmp_path / ".lock") for _ in range(2))
    lock.acquire()
    unlock = lock.keep()
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.close(write)
        os.read(read, 1)  # Until the parent has looked.
        os._exit(0)
    lock.release()
    unlock()
    try:
        other.acquire()
    finally:
        os.close(write)
        os.close(read)
        assert os.waitpid(child, 0)[1] == 0


def test_somebody_who_just_looks_does_not_keep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lock").touch()
    looking = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(lock_module.time, "sleep", lambda _: os.close(looking))
    lock = RunLock(tmp_path / ".lock")
    lock.acquire()
    assert lock.held
    lock.release()


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_a_full_disk_is_no_mistake_of_the_user_and_leaves_it_free(
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


def test_a_lock_file_that_cannot_be_made_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot lock .*absent: No such file"):
        RunLock(tmp_path / "absent" / ".lock").acquire()
