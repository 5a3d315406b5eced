"""The new rows of a log that is still growing."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path

from surefoot.errors import UserError
from surefoot.runs.untrusted import quoted, require_regular

COUNTERS = ("seed", "env_steps", "agent_steps", "grad_steps", "wall_seconds")
"""Columns that say whose row it is and where the run stood; every row of every log fills them."""

_TEXT_COLUMNS = frozenset({"task", "algorithm"})


class LogTail:
    """Reads a run's CSV log piece by piece: every call returns what came since the one before.

    A run of a million steps logs tens of thousands of rows; reading them all again every few seconds would cost the
    training more than the logging itself.

    Args:
        path: one of a run's CSV logs. It must only grow while this object is used.
        columns: what its header must name besides the counters.
    """

    def __init__(self, path: Path, columns: Iterable[str] = ()) -> None:
        self._path = path
        self._required = (*COUNTERS, *columns)
        self._offset = 0
        self._lines = 0
        self._header: list[str] = []

    def new_rows(self) -> list[dict[str, float]]:
        """Return the complete rows that came since the last call, numbers by column; NaN where a cell is empty.

        A row without its line end is still being written and comes next time.

        Raises:
            UserError: the file is missing or not a table of numbers; the line says where.
        """
        require_regular(self._path)
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                content = stream.read()
        except OSError as error:
            raise UserError(f"cannot read {self._path}: {error.strerror}") from error
        content = content[: content.rfind(b"\n") + 1]
        self._offset += len(content)
        try:
            lines = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{self._path} is not a CSV file: {error}") from error
        if lines and not self._header:
            self._header, self._lines = lines.pop(0), 1
            if missing := [name for name in self._required if name not in self._header]:
                raise UserError(f"{self._path} has no column {missing[0]!r}; expected a run's {self._path.name}")
        return [self._numbers(cells) for cells in lines]

    def _numbers(self, cells: list[str]) -> dict[str, float]:
        self._lines += 1
        where = f"{self._path}, line {self._lines}"
        if len(cells) != len(self._header):
            raise UserError(f"{where} has {len(cells)} cells, expected {len(self._header)}")
        row = {}
        for name, cell in zip(self._header, cells, strict=True):
            if name not in _TEXT_COLUMNS:
                try:
                    row[name] = float(cell or "nan")
                except ValueError as error:
                    raise UserError(f"{where}: {quoted(name)} is {quoted(cell, 80)!r}, expected a number") from error
        if bad := [name for name in COUNTERS if not math.isfinite(row[name])]:
            raise UserError(f"{where}: {bad[0]} is {row[bad[0]]}, expected a finite number")
        return row
