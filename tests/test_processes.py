"""Child processes: import path, streams and descriptors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surefoot import processes
from surefoot.processes import memory_file, python_command, run_program


def test_entries_that_imports_ignore_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [Path("/a"), b"/b", None, 3, "/c", "/umlaut/\udcfc", "/with:colon"])
    path, _ = json.loads(python_command("some.module")[4])
    assert path == ["/c", "/umlaut/\udcfc", "/with:colon"]


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules on the import path, and another as working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_program_gets_arguments_and_ignores_modules_of_the_working_directory(on_path: Path) -> None:
    (on_path / "here" / "json.py").write_text("raise SystemExit('wrong module')")
    (on_path / "program.py").write_text("def main(arguments):\n    print(arguments)\n    return 7")
    done = run_program(python_command("program", "a", "ü b"))
    assert (done.exit_code, done.output, done.errors) == (7, "['a', 'ü b']\n".encode(), b"")


def test_descriptors_are_for_the_program_only(on_path: Path) -> None:
    (on_path / "program.py").write_text(
        "import os, subprocess\ndef main(arguments):\n    os.fstat(int(arguments[0]))\n"
        "    return subprocess.call(['test', '-e', f'/proc/self/fd/{arguments[0]}'], close_fds=False)"
    )
    with memory_file() as file:
        number = file.fileno()
        command = python_command("program", str(number), descriptors=[number])
        assert subprocess.Popen(command, pass_fds=[number]).wait(30) == 1


def test_program_has_ended_although_its_background_process_holds_the_streams(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run_program(
        ["sh", "-c", f"sleep 30 & echo $! > {tmp_path}/pid; cat; echo problem >&2; exit 3"], content=b"in"
    )
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert time.monotonic() - start < 10
    assert (done.exit_code, done.output, done.last_line) == (3, b"in", "problem")


def test_program_is_killed_at_its_time_limit() -> None:
    start = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run_program(["sleep", "30"], seconds=0.05)
    assert time.monotonic() - start < 10


def test_a_program_that_cannot_be_killed_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_KILLED_SECONDS", 0.05)
    monkeypatch.setattr(subprocess.Popen, "kill", lambda self: started.append(self))
    started: list[subprocess.Popen[bytes]] = []
    with pytest.raises(subprocess.TimeoutExpired):
        run_program(["sleep", "1"], seconds=0.05)
    started[0].wait()


def test_memory_file_without_memfd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(name: str) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_program(["cat"], content=b"x" * 100_000).output == b"x" * 100_000
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(OSError, match="No such file"):
        memory_file()
