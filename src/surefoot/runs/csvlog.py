"""The logs of a run: CSV files that are appended to, cut back to a checkpoint, and read while still growing."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surefoot.errors import UserError
from surefoot.runs.atomic import disk_errors, write_file
from surefoot.runs.untrusted import quoted, require_regular

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

_TEXT_COLUMNS = frozenset({"task", "algorithm"})
_LONGEST_TEXT = 250
_INTEGER_COLUMNS = frozenset(
    {"utd", "seed", "env_steps", "agent_steps", "grad_steps", "episode", "length_env_steps"} & set(EVALUATION_COLUMNS)
)

Cell = str | bool | int | float | np.generic | None
"""What a cell may hold; None makes it empty."""


class CsvLog:
    """One CSV file, open for appending. Every row ends with a newline, so a row without one was cut short.

    Args:
        path: the file; made with its header line if it is missing. A last row cut short by a kill is dropped.
        columns: names in order. A file that is there must have the same.

    Raises:
        UserError: the file that is there has other columns, or is not CSV.
        RunFailure: the disk refused.
    """

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str]) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        if len(set(self.columns)) != len(self.columns) or not self.columns:
            raise ValueError(f"columns must be distinct and at least one, got {list(columns)}")
        with disk_errors("write", self.path):
            if not self.path.exists():
                write_file(self.path, _encode([self.columns]))
            header, end = _header_and_end(self.path)
            if header != self.columns:
                raise UserError(f"{self.path} has columns {_short(header)}, expected {_short(self.columns)}")
            self._stream = self.path.open("r+b", buffering=0)
            self._stream.truncate(end)
            self._end = self._stream.seek(end)

    def append(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Add rows, all of them or none. A column a row does not name gets an empty cell.

        Floats are written so that reading them gives the same float64; booleans as 1 and 0.

        Raises:
            ValueError: a row names a column that is not there, or a text holds a line break.
            RunFailure: the disk refused; the file is as it was.
        """
        data = _encode([self._cells(row) for row in rows])
        with disk_errors("write", self.path):
            try:
                written = 0
                while written < len(data):  # a nearly full disk takes a part, then refuses the rest
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
        """Return the file's size in bytes, having made all of it survive a power cut: a checkpoint may rely on it."""
        self.sync()
        return self._end

    def truncate(self, offset: int) -> None:
        """Drop every row after `offset` bytes, a value that `offset()` returned earlier.

        Raises:
            UserError: the file is shorter than that, or has no row end there: it was changed by something else.
            RunFailure: the disk refused.
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
        self.truncate(len(_encode([self.columns])))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _cells(self, row: Mapping[str, Cell]) -> list[str]:
        if unknown := row.keys() - set(self.columns):
            raise ValueError(f"{self.path.name} has no column {sorted(unknown)[0]!r}")
        return [_cell(row.get(name)) for name in self.columns]


def read_evaluations(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read evaluations.csv, of a finished run or of one still going.

    Args:
        path: a run directory or its evaluations.csv.

    Returns:
        One array [rows] per column of EVALUATION_COLUMNS: text for task and algorithm, int64 for seeds, counters and
        utd, float64 for the rest, NaN where a cell is empty. A last row cut short is left out.

    Raises:
        UserError: the file is missing, or something else than a run's evaluations.
    """
    file = _log_file(path, "evaluations.csv")
    header, rows = _read_rows(file)
    if header != EVALUATION_COLUMNS:
        raise UserError(f"{file} has columns {_short(header)}, expected {_short(EVALUATION_COLUMNS)}")
    return _to_columns(file, header, rows, _INTEGER_COLUMNS)


def read_training(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read training.csv, of a finished run or of one still going.

    Args:
        path: a run directory or its training.csv.

    Returns:
        One array [rows] per column: text for task and algorithm, int64 for counters, float64 for the rest, NaN where
        a cell is empty. A last row cut short is left out.

    Raises:
        UserError: the file is missing or not a table of numbers.
    """
    return _read_numbers(path, "training.csv")


def read_diagnostics(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read diagnostics.csv, of a finished run or of one still going.

    Args:
        path: a run directory or its diagnostics.csv.

    Returns:
        One array [rows] per column: int64 for seeds and counters, float64 for the rest, NaN where a cell is empty. A
        last row cut short is left out.

    Raises:
        UserError: the file is missing or not a table of numbers.
    """
    return _read_numbers(path, "diagnostics.csv")


def _read_numbers(path: str | os.PathLike[str], name: str) -> dict[str, np.ndarray]:
    file = _log_file(path, name)
    header, rows = _read_rows(file)
    return _to_columns(file, header, rows, _INTEGER_COLUMNS)


def _cell(value: Cell) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ValueError(f"a cell holds no line breaks, got {text!r}")
    return text


def _encode(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _log_file(path: str | os.PathLike[str], name: str) -> Path:
    given = Path(path)
    file = given / name if given.is_dir() else given
    if not file.exists():
        raise UserError(f"{file} does not exist; expected a run directory or its {name}")
    return file


def _header_and_end(path: Path) -> tuple[tuple[str, ...], int]:
    """Return the column names and where the last whole line ends, in bytes."""
    require_regular(path)
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    header, _ = _parse(path, content[: content.find(b"\n") + 1])
    return header, end


def _read_rows(path: Path) -> tuple[tuple[str, ...], list[list[str]]]:
    require_regular(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return _parse(path, content[: content.rfind(b"\n") + 1])


def _parse(path: Path, content: bytes) -> tuple[tuple[str, ...], list[list[str]]]:
    try:
        rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file: {error}") from error
    if not rows or not rows[0]:
        raise UserError(f"{path} has no header line; expected a run's CSV file")
    return tuple(rows[0]), rows[1:]


def _to_columns(
    path: Path, header: tuple[str, ...], rows: list[list[str]], integers: frozenset[str]
) -> dict[str, np.ndarray]:
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UserError(f"{path}, line {line} has {len(row)} cells, expected {len(header)}")
    columns = {}
    for index, name in enumerate(header):
        cells = [row[index] for row in rows]
        if name in _TEXT_COLUMNS:
            if longest := max((cell for cell in cells if len(cell) > _LONGEST_TEXT), key=len, default=""):
                # In an array of texts every row is as wide as the widest: one long cell would cost its size per row.
                raise UserError(f"{path}: a {name} has {len(longest)} characters, expected at most {_LONGEST_TEXT}")
            columns[name] = np.array(cells, dtype=np.str_)
        else:
            columns[name] = _numbers(path, name, cells, integer=name in integers)
    return columns


def _numbers(path: Path, name: str, cells: list[str], *, integer: bool) -> np.ndarray:
    values = np.empty(len(cells), np.int64 if integer else np.float64)
    for index, cell in enumerate(cells):
        try:
            values[index] = int(cell) if integer else float(cell or "nan")
        except (ValueError, OverflowError) as error:
            expected = "an integer" if integer else "a number"
            raise UserError(
                f"{path}, line {index + 2}: {quoted(name)} is {quoted(cell, 80)!r}, expected {expected}"
            ) from error
    return values


def _short(names: tuple[str, ...]) -> str:
    return quoted(", ".join(names))
