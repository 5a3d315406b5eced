"""CSV logs of a run, appended to and cut back to a checkpoint."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surefoot.errors import UserError
from surefoot.runs.atomic import disk_errors, write_file
from surefoot.runs.untrusted import quoted, read_small
from surefoot.text import readable

EVALUATION_COLUMNS = (
    "task",
    "algorithm",
    "utd",
    "seed",
    "env_steps",
    "agent_steps",
    "grad_steps",
    "episode",
    "return",
    "length_env_steps",
    "success_any",
    "success_last",
    "first_success_env_step",
    "score",
    "wall_seconds",
)
"""Columns of evaluations.csv, in order."""

MAX_LOG_BYTES = 1 << 30
"""Largest log that is read; that of a run with 1000 seeds and 10,000 rows each has 400 MB."""

_NAN = "NaN"
"""A float in every reader; polars takes "nan" for a text."""

Cell = str | bool | int | float | np.generic | None
"""Content of a cell; None is a missing number."""


class CsvLog:
    """One CSV file, open for appending. Every row ends with a newline, so a row without one is incomplete.

    Args:
        path: Log file; it is made with its header line if it is missing. An incomplete last row is dropped.
        columns: Column names in order; an existing file must have the same.

    Raises:
        UserError: The existing file has other columns, or is not CSV.
        RunFailure: A write failed.
    """

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str]) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        if len(set(self.columns)) != len(self.columns) or not self.columns:
            raise ValueError(f"columns must be distinct and at least one, got {list(columns)}")
        header = _encode([self.columns])
        with disk_errors("write", self.path):
            if not os.path.lexists(self.path):
                write_file(self.path, header)
            content = read_small(self.path, MAX_LOG_BYTES)
            if not content.startswith(header):
                found = content[: content.find(b"\n") + 1].decode(errors="replace").strip() or "no header line"
                raise UserError(f"{self.path} has columns {quoted(found)}, expected {','.join(self.columns)}")
            self._stream = self.path.open("r+b", buffering=0)
            self._stream.truncate(content.rfind(b"\n") + 1)
            self._end = self._stream.seek(content.rfind(b"\n") + 1)
            self._header_bytes = len(header)

    def append(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Add all rows or none. A column that a row does not name gets an empty cell, or NaN in the file's first row.

        Programs that read a table take the type of a column from its first rows, and those may all be empty: critic
        losses during the warm-up, the first success. Floats are written such that reading returns the same float64;
        booleans as 1 and 0.

        Raises:
            ValueError: A row names an unknown column, or a text contains a line break.
            RunFailure: The write failed; the file is unchanged.
        """
        first = self._end == self._header_bytes
        data = _encode([self._cells(row, _NAN if first and not i else "") for i, row in enumerate(rows)])
        with disk_errors("write", self.path):
            try:
                written = 0
                while written < len(data):  # a nearly full disk writes a part, then fails
                    written += self._stream.write(data[written:])
            except OSError:
                with contextlib.suppress(OSError):
                    self._stream.truncate(self._end)
                    self._stream.seek(self._end)
                raise
        self._end += len(data)

    def sync(self) -> None:
        """Make all rows survive a power cut."""
        with disk_errors("write", self.path):
            os.fsync(self._stream.fileno())

    def offset(self) -> int:
        """Sync all rows and return the file's size in bytes, which a checkpoint can store."""
        self.sync()
        return self._end

    def truncate(self, offset: int) -> None:
        """Drop every row after ``offset`` bytes, an earlier result of ``offset()``.

        Raises:
            UserError: The file is shorter, or no row ends there: it was changed by another program.
            RunFailure: The change failed.
        """
        with disk_errors("truncate", self.path):
            if not 0 < offset <= self._end or os.pread(self._stream.fileno(), 1, offset - 1) != b"\n":
                raise UserError(
                    f"{self.path} was changed since its checkpoint: no row ends at byte {offset} of {self._end}"
                )
            self._stream.truncate(offset)
            self._end = self._stream.seek(offset)
            os.fsync(self._stream.fileno())

    def clear(self) -> None:
        """Drop every row."""
        self.truncate(self._header_bytes)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _cells(self, row: Mapping[str, Cell], missing: str) -> list[str]:
        if unknown := row.keys() - set(self.columns):
            raise ValueError(f"{self.path.name} has no column {sorted(unknown)[0]!r}")
        return [_cell(row.get(name), missing) for name in self.columns]


def _cell(value: Cell, missing: str) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return missing
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return _NAN if math.isnan(value) else repr(value)
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ValueError(f"cells must not contain line breaks, got {text!r}")
    return text


def _encode(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return readable(text.getvalue()).encode()
