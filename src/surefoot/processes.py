"""Child processes: Python programs that import what this process can, programs run to their end, unnamed files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

_START = (
    "import importlib, json, os, sys; sys.path[:], descriptors = json.loads(sys.argv[1]); "
    "[os.set_inheritable(descriptor, False) for descriptor in descriptors]; "
    "sys.exit(importlib.import_module(sys.argv[2]).main(sys.argv[3:]))"
)
"""The descriptors are for the program only. What it starts may outlive it and would hold them open."""

_KILLED_SECONDS = 2.0
"""Time for a killed program to end; one that waits for a driver or a network file system may never."""


class Ended(NamedTuple):
    """Result of a program.

    Attributes:
        exit_code: Exit code, negative after a signal.
        output: What it wrote to standard output.
        errors: What it wrote to standard error.
    """

    exit_code: int
    output: bytes
    errors: bytes

    @property
    def last_line(self) -> str:
        """Last line of its standard error that is not blank; empty if there is none."""
        lines = self.errors.decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


def import_path() -> list[str]:
    """Return the entries of ``sys.path`` that imports consider: they ignore all but strings, also Path."""
    return [entry for entry in sys.path if isinstance(entry, str)]


def python_command(module: str, *arguments: str, descriptors: Sequence[int] = ()) -> tuple[str, ...]:
    """Return the command of a new interpreter that imports a module and exits with ``main(arguments)`` of it.

    It has the import path of this process. With ``-m``, Python would add the working directory, where a file of the
    user's may have the name of any module.

    Args:
        module: Name of the module.
        arguments: Arguments of its function ``main``.
        descriptors: Inherited file descriptors that the program does not pass on.
    """
    setting = json.dumps([import_path(), list(descriptors)])
    return (sys.executable, "-P", "-c", _START, setting, module, *arguments)


def run_program(
    command: Sequence[str],
    *,
    content: bytes = b"",
    seconds: float | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    end_group: bool = False,
) -> Ended:
    """Run a program and return when it ends, whatever the processes do that it has started.

    Those inherit its streams, which are therefore files: with pipes, reading to the end would wait for all of them.

    Args:
        command: Program and arguments.
        content: What it reads from standard input.
        seconds: Time after which it is killed; None for no limit.
        environment: Environment variables; None for this process's.
        folder: Working directory; None for this process's.
        end_group: Kill what it has started, except for processes of other sessions, when it has ended.

    Raises:
        OSError: It cannot be started.
        subprocess.TimeoutExpired: It took longer.
    """
    with memory_file() as stdin, memory_file() as stdout, memory_file() as stderr:
        stdin.write(content)
        stdin.seek(0)
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd=folder,
            start_new_session=end_group,
        )
        try:
            process.wait(seconds)
        except BaseException:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_KILLED_SECONDS)
            raise
        finally:
            if end_group:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        return Ended(process.returncode, written(stdout), written(stderr))


def memory_file() -> BinaryIO:
    """Open an unnamed file, in memory where the system supports it, else in the folder for temporary files.

    Raises:
        OSError: There is no such folder, or it is full.
    """
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            return os.fdopen(os.memfd_create("surefoot"), "w+b")
    return tempfile.TemporaryFile()


def written(file: BinaryIO) -> bytes:
    """Return the content of a file that other processes write to; they share its position."""
    parts, position = [], 0
    while part := os.pread(file.fileno(), 1 << 20, position):
        parts.append(part)
        position += len(part)
    return b"".join(parts)
