"""SBX's CrossQ in a Python of its own, because it wants other versions than ours of nearly everything."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from surefoot.errors import UserError
from surefoot.networks.validation import one_line

_PROGRAM = Path(__file__).with_name("sbx_program.py")


class SbxPeer:
    """A process that makes SBX's updates on request; see ``open_peer``.

    Attributes:
        versions: what it said of itself: sbx, jax, device (cpu, gpu), policy_delay.
    """

    def __init__(self, process: subprocess.Popen[str], python: Path, errors: Any) -> None:
        self._process, self._python, self._errors = process, python, errors
        self.versions: dict[str, Any] = self._read(json.loads)

    def run(self, calls: int) -> float:
        """Make the updates of so many agent steps; return the seconds that they took, in its own clock."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # It has died: what it said is read below.
            self._process.stdin.write(f"{calls}\n")
            self._process.stdin.flush()
        return self._read(float)

    def _read[T](self, parse: Callable[[str], T]) -> T:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            try:
                return parse(line)
            except ValueError:
                said = one_line(line)
                raise UserError(f"{self._python} does not run SBX's CrossQ, or not as asked: it said {said}") from None
        self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or [f"exit code {self._process.returncode}"])[-1]
        raise UserError(f"{self._python} cannot run SBX's CrossQ: {last}")


@contextlib.contextmanager
def open_peer(python: Path, observation_size: int, action_size: int, utd: int) -> Iterator[SbxPeer]:
    """Start SBX's CrossQ with critics of 2 x 512 and actors of 2 x 256 units on a free environment of these sizes.

    Args:
        python: an interpreter that has sbx-rl.
        observation_size: O.
        action_size: A.
        utd: gradient updates per agent step.

    Raises:
        UserError: it does not start, or ends.
    """
    # Neither our packages nor our settings of JAX are its own, but for where it is to compute.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "JAX_PLATFORMS" or not name.startswith(("JAX_", "PYTHONPATH"))
    }
    kept["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # Two processes share the device.
    with tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(
                [python, "-I", _PROGRAM, *map(str, (observation_size, action_size, utd))],
                env=kept,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        except OSError as error:
            raise UserError(f"cannot start {python}, which was to run SBX's CrossQ: {error.strerror}") from error
        try:
            yield SbxPeer(process, python, errors)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                with contextlib.suppress(OSError):
                    stream.close()
