"""Readers of a run's CSV logs, whole or while they grow."""

from __future__ import annotations

import csv
import io
import math
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from surefoot.errors import UserError
from surefoot.runs.csvlog import EVALUATION_COLUMNS, MAX_LOG_BYTES
from surefoot.runs.untrusted import open_regular, quoted, read_small, require_regular, why_missing

COUNTERS = ("seed", "env_steps", "agent_steps", "grad_steps", "wall_seconds")
"""Columns that every log fills in every row."""

TEXT_COLUMNS = frozenset({"task", "algorithm"})
_INTEGER_COLUMNS = frozenset({"seed", "env_steps", "agent_steps", "grad_steps", "episode", "length_env_steps"})
_MAX_TEXT = 250
_ANCHOR_BYTES = 256
_MAX_HEADER_BYTES = 1 << 20

type Signature = tuple[int, int, int]
"""Inode, size in bytes and modification time in nanoseconds: they differ after every write."""

_MISSING: Signature = (0, 0, 0)


def read_evaluations(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read evaluations.csv of a finished or a running run.

    Args:
        path: A run directory or its evaluations.csv.

    Returns:
        One array [rows] per column of EVALUATION_COLUMNS: text for task and algorithm, int64 for seeds and counters,
        float64 for the rest, NaN where a cell is empty. An incomplete last row is left out.

    Raises:
        UserError: The file is missing, or is not a run's evaluations.csv.
    """
    file, header, rows = _read_log(path, "evaluations.csv")
    if header != EVALUATION_COLUMNS:
        raise UserError(f"{file} has columns {short(header)}, expected {short(EVALUATION_COLUMNS)}")
    return _to_columns(file, header, rows)


def read_training(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read training.csv of a finished or a running run.

    Args:
        path: A run directory or its training.csv.

    Returns:
        One array [rows] per column: int64 for seeds and counters, float64 for the rest, NaN where a cell is empty. An
        incomplete last row is left out.

    Raises:
        UserError: The file is missing or is not a table of numbers.
    """
    return _to_columns(*_read_log(path, "training.csv"))


def read_diagnostics(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read diagnostics.csv of a finished or a running run.

    Args:
        path: A run directory or its diagnostics.csv.

    Returns:
        One array [rows] per column, as from ``read_training``.

    Raises:
        UserError: The file is missing or is not a table of numbers.
    """
    return _to_columns(*_read_log(path, "diagnostics.csv"))


def file_signature(path: Path) -> Signature:
    """Return a file's signature; zeros if it is missing.

    Raises:
        UserError: It cannot be accessed, or is not a regular file.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except (OSError, ValueError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        require_regular(path)
        return _MISSING  # it has become one in the meantime
    return status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class NewRows:
    """Rows that a log gained.

    Attributes:
        restarted: Whether the file was cut back or replaced, as by resuming or overwriting a run: earlier rows are
            void.
        rows: Numbers by column; NaN where a cell is empty.
    """

    restarted: bool
    rows: list[dict[str, float]]


class LogTail:
    """Incremental reader of a growing CSV log: every complete row is returned once.

    Args:
        path: Log file; it may appear later.
        columns: Columns of numbers that the header must name.
        all_columns: Return every column that is not text, not only ``columns``.
    """

    def __init__(self, path: Path, columns: Sequence[str], *, all_columns: bool = False) -> None:
        self._path, self._required, self._all = path, columns, all_columns
        self._signature = _MISSING
        self._header: list[str] = []
        self._names: dict[int, str] = {}
        self._offset, self._anchor = 0, b""
        self._line: int | None = 1
        """Lines read so far; None where some were skipped."""

    @property
    def changed(self) -> float:
        """Time of the last write in seconds since the epoch; 0 without a file."""
        return self._signature[2] / 1e9

    def read(self, last_bytes: int | None = None) -> NewRows:
        """Return the complete rows since the last call.

        Args:
            last_bytes: On a first read, or after a restart, skip everything before this many last bytes.

        Raises:
            UserError: The file is not a run's log.
        """
        now = file_signature(self._path)
        if now == self._signature:
            return NewRows(False, [])
        if now == _MISSING:
            self._restart()
            self._signature = now
            return NewRows(True, [])
        content = b""
        try:
            with open_regular(self._path) as stream:
                if not self._continues(stream.fileno()):
                    self._restart()
                restarted = not self._header
                if restarted and (line := stream.readline(_MAX_HEADER_BYTES)).endswith(b"\n"):
                    self._read_header(line)
                    if last_bytes is not None and now[1] - last_bytes > self._offset:
                        self._offset, self._line = now[1] - last_bytes, None
                        stream.seek(self._offset)
                        self._offset += len(stream.readline())
                        self._anchor = b""
                stream.seek(self._offset)
                content = self._read_rows(stream)
        except OSError as error:
            raise UserError(f"cannot read {self._path}: {error.strerror}") from error
        content = content[: content.rfind(b"\n") + 1]
        rows = [self._row(cells, number) for number, cells in enumerate(parse_csv(self._path, content), start=1)]
        if self._line is not None:
            self._line += len(rows)
        self._offset += len(content)
        self._anchor = (self._anchor + content)[-_ANCHOR_BYTES:]
        self._signature = now
        return NewRows(restarted, rows)

    def _read_rows(self, stream: BinaryIO) -> bytes:
        """Return what follows the rows read so far; nothing before the header line is complete.

        Raises:
            UserError: It is too large.
        """
        size = os.fstat(stream.fileno()).st_size
        if not self._header:
            if size >= _MAX_HEADER_BYTES:
                raise UserError(f"{self._path} is not a CSV file: its first line is too long")
            return b""
        if size - self._offset > MAX_LOG_BYTES:
            raise UserError(f"{self._path} has {size:,} bytes, expected at most {MAX_LOG_BYTES:,}")
        return stream.read(max(0, size - self._offset))

    def _restart(self) -> None:
        self._header, self._names = [], {}
        self._offset, self._anchor, self._line = 0, b"", 1

    def _continues(self, descriptor: int) -> bool:
        """Return whether the bytes read last are still in place; a file cut back may have regrown since."""
        return os.pread(descriptor, len(self._anchor), self._offset - len(self._anchor)) == self._anchor

    def _read_header(self, line: bytes) -> None:
        header = (parse_csv(self._path, line) or [[]])[0]
        if missing := [name for name in self._required if name not in header]:
            raise UserError(f"{self._path} has no column {missing[0]!r}; expected a run's {self._path.name}")
        wanted = [name for name in header if name not in TEXT_COLUMNS] if self._all else self._required
        self._names = {header.index(name): name for name in wanted}
        self._header, self._offset, self._anchor = header, len(line), line[-_ANCHOR_BYTES:]

    def _row(self, cells: list[str], number: int) -> dict[str, float]:
        """Return a row's numbers; ``number`` counts the rows of one ``read`` from 1."""
        where = str(self._path) if self._line is None else f"{self._path}, line {self._line + number}"
        if len(cells) != len(self._header):
            raise UserError(f"{where} has {len(cells)} cells, expected {len(self._header)}")
        row = {}
        for index, name in self._names.items():
            try:
                row[name] = float(cells[index] or "nan")
            except ValueError as error:
                raise UserError(
                    f"{where}: {quoted(name)} is {quoted(cells[index], 80)!r}, expected a number"
                ) from error
            if name in COUNTERS and not math.isfinite(row[name]):
                raise UserError(f"{where}: {name} is {row[name]}, expected a finite number")
        return row


def parse_csv(path: Path, content: bytes) -> list[list[str]]:
    """Return the cells of complete lines.

    Raises:
        UserError: The content is not CSV in UTF-8.
    """
    try:
        return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file: {error}") from error


def short(names: Sequence[str]) -> str:
    """Return column names as an error message shows them."""
    return quoted(", ".join(names))


def _read_log(path: str | os.PathLike[str], name: str) -> tuple[Path, tuple[str, ...], list[list[str]]]:
    given = Path(path)
    file = given / name if os.path.isdir(given) else given
    if why_missing(file) == "is missing":
        raise UserError(f"{file} does not exist; expected a run directory or its {name}")
    content = read_small(file, MAX_LOG_BYTES)
    rows = parse_csv(file, content[: content.rfind(b"\n") + 1])
    if not rows or not rows[0]:
        raise UserError(f"{file} has no header line; expected a run's CSV file")
    return file, tuple(rows[0]), rows[1:]


def _to_columns(path: Path, header: tuple[str, ...], rows: list[list[str]]) -> dict[str, np.ndarray]:
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UserError(f"{path}, line {line} has {len(row)} cells, expected {len(header)}")
    columns = {}
    for index, name in enumerate(header):
        cells = [row[index] for row in rows]
        columns[name] = _texts(path, name, cells) if name in TEXT_COLUMNS else _numbers(path, name, cells)
    return columns


def _texts(path: Path, name: str, cells: list[str]) -> np.ndarray:
    if longest := max((cell for cell in cells if len(cell) > _MAX_TEXT), key=len, default=""):
        # Every element of a text array is as wide as the widest: one long cell would cost its size per row.
        raise UserError(f"{path}: a {name} has {len(longest)} characters, expected at most {_MAX_TEXT}")
    return np.array(cells, dtype=np.str_)


def _numbers(path: Path, name: str, cells: list[str]) -> np.ndarray:
    integer = name in _INTEGER_COLUMNS
    values = np.empty(len(cells), np.int64 if integer else np.float64)
    for index, cell in enumerate(cells):
        try:
            values[index] = int(cell) if integer else float(cell or "nan")
        except (ValueError, OverflowError) as error:
            expected = "an integer" if integer else "a number"
            raise UserError(
                f"{path}, line {index + 2}: {quoted(name)} is {quoted(cell, 80)!r}, expected {expected}"
            ) from error
    if name in COUNTERS and not (finite := np.isfinite(values)).all():
        index = int(np.argmin(finite))
        raise UserError(f"{path}, line {index + 2}: {name} is {values[index]}, expected a finite number")
    return values
