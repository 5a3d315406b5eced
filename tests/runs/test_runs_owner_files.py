"""Locks where flock does not work, at all or on one of several machines."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from surefoot.errors import RunFailure, UserError
from surefoot.runs import RunDirectory, owner_files
from surefoot.runs import owner as owner_module
from surefoot.runs.lock import RunLock, is_held
from surefoot.runs.owner import Owner, read_owner, this_process
from surefoot.runs.progress import find_runs

ELSEWHERE = Owner(pid=7, host="node-b", system="another boot", started="1")


@pytest.fixture(params=["ENOSYS", "ENOTSUP", "ENOLCK"])
def error(request: pytest.FixtureRequest) -> int:
    return int(getattr(errno, request.param))


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_flock(monkeypatch, errno.ENOSYS)


def refuse_flock(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_files, "REFRESH_SECONDS", 0.02)
    monkeypatch.setattr(owner_files.time, "sleep", lambda seconds: naps.append(seconds))
    naps.clear()


naps: list[float] = []


def write_owner(path: Path, owner: Owner, age: float = 0.0) -> None:
    path.write_text(owner.to_text(3))
    os.utime(path, (time.time() - age, time.time() - age))


def test_lock_without_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    refuse_flock(monkeypatch, error)
    lock, other = (RunLock(tmp_path / ".lock") for _ in range(2))
    assert not is_held(tmp_path / ".lock")
    lock.acquire()
    assert lock.note is not None
    assert "\n" not in lock.note
    assert os.strerror(error) in lock.note
    assert ".lock-1" in lock.note
    assert is_held(tmp_path / ".lock")
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}; wait"):
        other.acquire()
    keep = lock.keep()
    lock.release()
    with pytest.raises(UserError, match="in use"):
        other.acquire()
    keep()
    assert not is_held(tmp_path / ".lock")
    other.acquire()
    other.release()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".lock-2"]


@pytest.mark.usefixtures("no_flock")
def test_run_directory_without_flock(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", {"task": "t"})
    with run.lock():
        run.check_lock()
        assert run.lock_note is not None
        with pytest.raises(UserError, match="in use"), RunDirectory.open(run.path).lock():
            pass
        with pytest.raises(UserError, match="in use"):
            RunDirectory.create(run.path, {"task": "t"}, overwrite=True)
    RunDirectory.create(run.path, {"task": "u"}, overwrite=True)
    assert [found.path for found in find_runs(tmp_path)] == [run.path]


@pytest.mark.usefixtures("no_flock")
def test_directory_that_cannot_be_made_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surefoot.runs.directory.write_file", lambda *_: os.open("", 0))
    with pytest.raises(RunFailure):
        RunDirectory.create(tmp_path / "new" / "run", {"task": "t"})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "killed").mkdir()
    for name in (".lock", ".lock-4", ".tmp-config.json"):
        (tmp_path / "killed" / name).write_text(owner_module.RELEASED)
    monkeypatch.undo()
    RunDirectory.create(tmp_path / "killed", {"task": "t"})


@pytest.mark.usefixtures("no_flock")
def test_lock_of_a_dead_process_of_this_machine_is_free_at_once(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    start = Owner(dead.pid, "here", this_process().system, owner_module._state_and_start(dead.pid)[1])
    while owner_module._state_and_start(dead.pid)[0] != "Z":
        time.sleep(0.01)
    for _ in ("zombie", "gone"):
        write_owner(tmp_path / ".lock-5", start)
        assert not is_held(tmp_path / ".lock")
        RunLock(tmp_path / ".lock").acquire()
        for path in tmp_path.iterdir():
            path.unlink()
        dead.wait()
    # Its id was given to another process.
    write_owner(tmp_path / ".lock-5", Owner(os.getpid(), "here", this_process().system, "1"))
    RunLock(tmp_path / ".lock").acquire()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("flock", [False, True])
@pytest.mark.parametrize("age", [-3600.0, 0.0, 30.0, 61.0, 1e6])
def test_lock_of_another_machine_is_free_when_it_is_no_longer_refreshed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, flock: bool
) -> None:
    if not flock:
        refuse_flock(monkeypatch, errno.ENOSYS)
    (tmp_path / ".lock").touch()
    write_owner(tmp_path / ".lock-5", ELSEWHERE, age)
    fresh = 0 <= age < 60
    assert is_held(tmp_path / ".lock") == fresh
    lock = RunLock(tmp_path / ".lock")
    if fresh:
        with pytest.raises(UserError, match="in use by process 7 on node-b; wait until it ends"):
            lock.acquire()
        assert naps == []
    else:
        lock.acquire()
        lock.release()
        assert len(naps) == 1, "a clock may be wrong: the owner gets the time for two refreshes"


@pytest.mark.usefixtures("quick", "no_flock")
@pytest.mark.parametrize("age", [-3600.0, 3600.0])
def test_refreshed_lock_is_held_whatever_the_clocks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    path = tmp_path / ".lock-5"
    write_owner(path, ELSEWHERE, age)
    monkeypatch.setattr(owner_files.time, "sleep", lambda _: path.write_text(ELSEWHERE.to_text(4)))
    with pytest.raises(UserError, match="in use by process 7 on node-b"):
        RunLock(tmp_path / ".lock").acquire()


@pytest.mark.usefixtures("quick", "no_flock")
def test_held_lock_is_refreshed_until_its_release(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / ".lock")
    lock.acquire()
    path = tmp_path / ".lock-1"
    wait_until(lambda: read_owner(path).beat > 2)
    path.unlink()
    wait_until(lambda: read_owner(path).beat > 2)
    lock.release()
    assert read_owner(path).released
    threading.Event().wait(0.1)
    assert read_owner(path).released


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.mark.usefixtures("quick", "no_flock")
def test_suspended_owner_finds_that_its_lock_was_taken_over(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", {"task": "t"})
    with run.lock():
        newest = max(int(path.name[6:]) for path in run.path.glob(".lock-*"))
        write_owner(run.path / f".lock-{newest + 1}", ELSEWHERE)
        with pytest.raises(RunFailure, match=r"run was taken over by process 7 on node-b, because this process"):
            run.check_lock()
        (run.path / f".lock-{newest + 1}").write_text(owner_module.RELEASED)
        with pytest.raises(RunFailure, match="run was taken over by another process"):
            run.check_lock()


@pytest.mark.usefixtures("no_flock")
def test_one_of_many_gets_the_lock(tmp_path: Path) -> None:
    """Threads stand for processes of different machines; each holds the lock alone."""
    holders, most, failures = [0], [0], [0]
    write_owner(tmp_path / ".lock-3", Owner(2**30, "here", this_process().system, "1"))  # of a dead process
    barrier = threading.Barrier(8)

    def compete() -> None:
        barrier.wait()
        for _ in range(30):
            lock = RunLock(tmp_path / ".lock")
            try:
                lock.acquire()
            except UserError:
                failures[0] += 1
                continue
            holders[0] += 1
            most[0] = max(most[0], holders[0])
            threading.Event().wait(0.001)
            holders[0] -= 1
            lock.release()

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert failures[0] > 0


def test_locks_of_both_kinds_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".lock"
    with_flock, without = RunLock(path), RunLock(path)
    with_flock.acquire()
    with monkeypatch.context() as patch:
        refuse_flock(patch, errno.ENOLCK)
        assert is_held(path)
        with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
            without.acquire()
        with_flock.release()
        without.acquire()
    assert is_held(path)
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
        with_flock.acquire()
    without.release()
    with_flock.acquire()
    with_flock.release()


@pytest.mark.usefixtures("no_flock")
def test_lock_taken_by_flock_on_another_machine_can_be_removed(tmp_path: Path) -> None:
    write_owner(tmp_path / ".lock", ELSEWHERE)
    lock = RunLock(tmp_path / ".lock")
    with pytest.raises(UserError, match=r"locked by process 7 on node-b, and .* if it has ended, remove .*\.lock$"):
        lock.acquire()
    (tmp_path / ".lock").unlink()
    lock.acquire()
    lock.release()


@pytest.mark.usefixtures("quick", "no_flock")
@pytest.mark.parametrize(
    "content",
    [b"", b"123\n", b"\xff\x00", b"[" * 4000, b"{}", b'{"pid": -1, "host": 1, "system": 2, "started": 3}'],
    ids=["empty", "old", "binary", "deep", "object", "entries"],
)
def test_damaged_owner_file_counts_as_held_while_it_is_fresh(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ".lock-2"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"in use by process (unknown|123); wait"):
        RunLock(tmp_path / ".lock").acquire()
    os.utime(path, (1e9, 1e9))
    lock = RunLock(tmp_path / ".lock")
    lock.acquire()
    lock.release()


@pytest.mark.usefixtures("no_flock")
def test_linked_owner_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("mine")
    (tmp_path / ".lock-2").symlink_to(tmp_path / "diary")
    with pytest.raises(UserError, match="in use by process unknown"):
        RunLock(tmp_path / ".lock").acquire()
    assert (tmp_path / "diary").read_text() == "mine"


def test_hostile_host_name_is_printed_on_one_line() -> None:
    text = str(Owner(1, "a\nb\x1b[31m", json.dumps("x")))
    assert text.isprintable()


@pytest.mark.usefixtures("no_flock")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_forked_child_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / ".lock")
    lock.acquire()
    if (child := os.fork()) == 0:
        lock.release()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert is_held(tmp_path / ".lock")
    lock.release()
    assert not is_held(tmp_path / ".lock")


@pytest.mark.usefixtures("no_flock")
def test_thread_that_cannot_be_started_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RunFailure, match="cannot start the thread that refreshes"):
            RunLock(tmp_path / ".lock").acquire()
    assert not is_held(tmp_path / ".lock")
