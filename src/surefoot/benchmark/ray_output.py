"""What Ray prints in the launching process, as a log among those of the cells."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import BinaryIO

from surefoot.benchmark.launchers import open_log
from surefoot.errors import RunFailure

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class RayOutput(io.TextIOBase):
    """Stream to a log without colour codes. It keeps what is written before the log is open, and drops what fails."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._early: list[str] = []

    def open(self, path: Path) -> None:
        """Open the log, unless it is open already."""
        if self._file is not None:
            return
        with contextlib.suppress(RunFailure):  # cells' own logs fail likewise, with a message
            self._file = open_log(path)
            early, self._early = self._early, []
            for text in early:
                self.write(text)

    def write(self, text: str) -> int:
        """Append a text to the log."""
        if self._file is None:
            self._early.append(text)
            return len(text)
        with contextlib.suppress(OSError, ValueError):
            self._file.write(_COLOURS.sub("", text).encode(errors="replace"))
            self._file.flush()
        return len(text)

    def close(self) -> None:
        """Close the log; later texts are dropped."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        super().close()

    def writable(self) -> bool:
        """Return True."""
        return True
