"""Folders of runs in which some entries cannot be read: everything else is shown, and they are named."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot.benchmark.attempts import Event, append_attempt
from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.benchmark.status import GridReader
from surefoot.cli.main import main
from surefoot.cli.watch import screen
from surefoot.errors import UserError
from surefoot.report.runs import load_runs
from surefoot.runs.progress import RunsReader, RunState, find_runs
from tests.benchmark.support import write_grid
from tests.report.support import make_run

LOG, CONFIG = "evaluations.csv", "config.json"


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is limited to 107 bytes
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def make_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 43)


REPLACEMENTS: dict[str, Callable[[Path], Any]] = {
    "a folder": Path.mkdir,
    "a named pipe": os.mkfifo,
    "a socket": make_socket,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a huge file": make_huge,
    "random bytes": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "the start of a file": lambda path: path.write_bytes(b'{"format": 1, "ta'),
}


@pytest.mark.parametrize("name", [LOG, CONFIG])
@pytest.mark.parametrize("what", REPLACEMENTS)
def test_irregular_or_broken_files_are_named(
    tmp_path: Path, name: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "good")
    file = make_run(tmp_path / "bad") / name
    file.unlink()
    REPLACEMENTS[what](file)
    assert main(["watch", str(tmp_path), "--once"]) == 0
    shown = capsys.readouterr().out
    states = {run.path.name: run.state for run in RunsReader([tmp_path]).read()}
    left_out: list[str] = []
    (run,) = load_runs([tmp_path], left_out.append)
    assert run.path.name == "good"
    assert [str(file) in line for line in left_out] == [True]
    if (name, what) != (LOG, "the start of a file"):  # which may be the start of a header line
        assert states == {"bad": RunState.UNREADABLE, "good": RunState.FINISHED}
        assert shown.count(str(file)) == 1


def test_links_and_pipes_beside_runs_are_no_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "itself").symlink_to("itself")
    os.mkfifo(tmp_path / "pipe")
    assert [run.path.name for run in find_runs(tmp_path)] == ["good"]


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EACCES, errno.ENAMETOOLONG, errno.EIO])
def test_folders_whose_access_fails_are_named(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    scandir, lstat = os.scandir, os.lstat

    def failing(call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(path: Any, *arguments: Any, **options: Any) -> Any:
            if Path(path).is_relative_to(tmp_path / "bad"):
                raise OSError(number, os.strerror(number))
            return call(path, *arguments, **options)

        return checked

    for name, call in (("scandir", scandir), ("lstat", lstat)):
        monkeypatch.setattr(os, name, failing(call))
        runs = RunsReader([tmp_path]).read()
        assert [(run.path.name, run.state) for run in runs] == [("bad", "unreadable"), ("good", "finished")]
        assert str(runs[0].problem) == f"cannot read {tmp_path / 'bad'}: {os.strerror(number)}"
        left_out: list[str] = []
        assert len(load_runs([tmp_path], left_out.append)) == 1
        assert left_out == [runs[0].problem]
        with pytest.raises(UserError, match=os.strerror(number)):
            RunsReader([tmp_path / "bad"])
        monkeypatch.undo()


def test_stale_entry_of_unknown_type_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "good")
    (tmp_path / "bad").touch()
    stale = OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    scandir, lstat = os.scandir, os.lstat

    class Entry:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name = entry.name

        def is_dir(self, *, follow_symlinks: bool) -> bool:
            if self.name == "bad":
                raise stale
            return True

    @contextlib.contextmanager
    def listed(path: Path) -> Iterator[list[Entry]]:
        with scandir(path) as entries:
            yield [Entry(entry) for entry in entries]

    def checked(path: Path) -> os.stat_result:
        if Path(path).is_relative_to(tmp_path / "bad"):
            raise stale
        return lstat(path)

    monkeypatch.setattr(os, "scandir", listed)
    monkeypatch.setattr(os, "lstat", checked)
    found = {run.path.name: run.problem for run in find_runs(tmp_path)}
    assert found == {"good": "", "bad": f"cannot read {tmp_path / 'bad'}: {os.strerror(errno.ESTALE)}"}


def test_log_that_becomes_stale_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "good")
    bad = make_run(tmp_path / "bad")
    fdopen = os.fdopen

    class Stale:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

        def __getattr__(self, name: str) -> Any:
            if name in ("read", "readline"):
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return getattr(self._stream, name)

    def open_stale(descriptor: int, *arguments: Any) -> Any:
        stream = fdopen(descriptor, *arguments)
        is_bad = os.readlink(f"/proc/self/fd/{descriptor}") == str(bad / LOG)
        return Stale(stream) if is_bad else stream

    monkeypatch.setattr(os, "fdopen", open_stale)
    states = {run.path.name: run.state for run in RunsReader([tmp_path]).read()}
    assert states == {"bad": RunState.UNREADABLE, "good": RunState.FINISHED}
    left_out: list[str] = []
    assert len(load_runs([tmp_path], left_out.append)) == 1
    assert left_out == [f"cannot read {bad / LOG}: {os.strerror(errno.ESTALE)}"]


def test_run_that_vanishes_is_no_longer_shown(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    reader = RunsReader([tmp_path])
    shutil.rmtree(make_run(tmp_path / "gone"))
    assert [run.path.name for run in reader.read()] == ["good"]
    shutil.rmtree(tmp_path / "good")
    assert reader.read() == []


def test_many_unreadable_runs_leave_room_for_the_others(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    for number in range(40):
        (make_run(tmp_path / f"bad-{number}") / CONFIG).write_text("{")
    text = screen(RunsReader([tmp_path]).read(), 120, 24, "_-").plain
    assert len(text.splitlines()) <= 24
    assert "unreadable: 34 more" in text


def test_broken_diagnostics_leave_the_scores(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "diagnostics.csv").write_text("a,b\n1,2\n")
    left_out: list[str] = []
    (read,) = load_runs([run], left_out.append)
    assert read.diagnostics == {}
    assert "diagnostics.csv has no column" in left_out[0]


def test_report_names_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "runs" / "good")
    (make_run(tmp_path / "runs" / "bad") / LOG).write_bytes(b"\xff\n")
    assert main(["report", str(tmp_path / "runs"), "-o", str(tmp_path / "out"), "--resamples", "20"]) == 0
    error = capsys.readouterr().err
    assert error.startswith(f"surefoot: left out: {tmp_path / 'runs/bad' / LOG} is not a CSV file")
    assert error.count("\n") == 1
    assert "left out: " in (tmp_path / "out/index.html").read_text()


def test_report_of_nothing_but_broken_runs_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (make_run(tmp_path / name) / CONFIG).write_text("{")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "none of 2 runs can be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_status_of_a_grid_with_unreadable_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = GridFolder.create(tmp_path / "bench", load_grid(str(write_grid(tmp_path / "g.toml"))))
    first, second = (folder.run_path(cell.name) for cell in folder.cells)
    make_run(second)
    first.mkdir()
    (first / CONFIG).symlink_to(CONFIG)
    folder.attempts_path.mkdir()
    reader = GridReader(folder)
    assert [cell.state for cell in reader.read()] == ["unreadable", "finished"]
    assert str(folder.attempts_path) in reader.problem
    assert main(["bench", "status", str(folder.path), "--once"]) == 0
    shown = capsys.readouterr().out
    assert str(first / CONFIG) in shown
    assert str(folder.attempts_path) in shown
    folder.attempts_path.rmdir()
    append_attempt(folder.attempts_path, folder.cells[0].name, Event.FAILED, 1)
    assert [cell.state for cell in reader.read()] == ["unreadable", "finished"]


def drop_capabilities() -> None:
    """Give up root's right to access files regardless of their mode."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities of Linux")
def test_entries_without_permission_are_named(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    (make_run(tmp_path / "log") / LOG).chmod(0)
    for path in (tmp_path / "private", make_run(tmp_path / "run")):
        path.mkdir(exist_ok=True)
        path.chmod(0)
    command = [sys.executable, "-m", "surefoot", "watch", str(tmp_path), "--once"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=drop_capabilities, timeout=60)
    for path in (tmp_path / "private", tmp_path / "run"):
        path.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 1
    for path in (tmp_path / "private", tmp_path / "run", tmp_path / "log" / LOG):
        assert f"unreadable: cannot read {path}: Permission denied" in done.stdout
