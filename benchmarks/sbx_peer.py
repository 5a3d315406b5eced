"""SBX's CrossQ in a separate Python, since it needs other versions of most packages."""

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

_PROGRAM = Path(__file__).with_name("sbx_program.py")


class SbxPeer:
    """A process that runs SBX's updates on request; made by ``open_peer``.

    Attributes:
        utd: Gradient updates per call of ``run``.
        versions: Its description: sbx, jax, device (cpu, gpu), policy_delay.
    """

    def __init__(self, process: subprocess.Popen[str], python: Path, errors: Any, utd: int) -> None:
        self._process, self._python, self._errors, self.utd = process, python, errors, utd
        self.versions: dict[str, Any] = self._read(json.loads)

    def run(self, calls: int) -> float:
        """Run the updates of ``calls`` agent steps; return the seconds they took on its own clock."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a dead process is reported below
            self._process.stdin.write(f"{calls}\n")
            self._process.stdin.flush()
        return self._read(float)

    def _read[T](self, parse: Callable[[str], T]) -> T:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            try:
                return parse(line)
            except ValueError:
                raise UserError(f"{self._python} cannot run SBX's CrossQ: it printed {line.strip()[:200]!r}") from None
        self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or [f"exit code {self._process.returncode}"])[-1]
        raise UserError(f"{self._python} cannot run SBX's CrossQ: {last}")


@contextlib.contextmanager
def open_peer(python: Path, observation_size: int, action_size: int, utd: int) -> Iterator[SbxPeer]:
    """Start SBX's CrossQ with critics of 2 x 512 and actors of 2 x 256 units on an environment without cost.

    Args:
        python: An interpreter with sbx-rl.
        observation_size: O.
        action_size: A.
        utd: Gradient updates per agent step.

    Raises:
        UserError: The process does not start, or ends.
    """
    # It must not find our packages; of JAX's settings only the platform applies to it.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "JAX_PLATFORMS" or not name.startswith(("JAX_", "PYTHONPATH"))
    }
    kept["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # two processes share the device
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
            raise UserError(f"cannot start {python} for SBX's CrossQ: {error.strerror}") from error
        try:
            yield SbxPeer(process, python, errors, utd)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                with contextlib.suppress(OSError):
                    stream.close()
