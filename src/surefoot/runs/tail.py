"""CSV logs that another process appends to: what is new since the last look, and what stands at the end."""

from __future__ import annotations

import csv
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from surefoot.errors import UserError

type Signature = tuple[int, int, int]
"""Inode, size in bytes and time of the last change in nanoseconds: a file with the same ones was not written to."""

_ANCHOR_BYTES = 256
_MAY_BE_UNDEFINED = frozenset({"return", "score"})
"""What is NaN for a seed that diverged; every other number that is read here is always there."""

_MISSING: Signature = (0, 0, 0)


def signature(path: Path) -> Signature:
    """Return a file's signature; zeros where there is none, or something that reading would wait for."""
    try:
        status = path.stat()
    except OSError:
        return _MISSING
    return _MISSING if not stat.S_ISREG(status.st_mode) else (status.st_ino, status.st_size, status.st_mtime_ns)


class LogTail:
    """Numbers of some columns, each row once.

    Args:
        path: the file, which may appear later.
        columns: which; all of them numbers.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns = path, columns
        self._signature = _MISSING
        self._indices: list[int] | None = None
        self._offset = 0
        self._anchor = b""

    @property
    def changed(self) -> float:
        """When the file was last written to, in seconds since the epoch; 0 where there is none."""
        return self._signature[2] / 1e9

    def read(self) -> tuple[bool, list[tuple[float, ...]]]:
        """Return the whole rows since the last call, and whether those before it are to be forgotten.

        They are when the file was cut back or replaced, as resuming and overwriting a run does.

        Raises:
            UserError: the file is not the log that was expected.
        """
        now = signature(self._path)
        if now == self._signature:
            return False, []
        try:
            with self._path.open("rb") as stream:
                if self._offset == 0 or not self._goes_on(stream.fileno()):
                    self._begin_again()
                stream.seek(self._offset)
                content = stream.read()
        except FileNotFoundError:
            content = b""
            self._begin_again()
        except OSError as error:
            raise UserError(f"cannot read {self._path}: {error.strerror}") from error
        whole = content[: content.rfind(b"\n") + 1]
        again = self._offset == 0
        rows = self._numbers(whole)
        self._offset += len(whole)
        self._anchor = (self._anchor + whole)[-_ANCHOR_BYTES:]
        self._signature = now
        return again, rows

    def _begin_again(self) -> None:
        self._offset, self._anchor, self._indices = 0, b"", None

    def _goes_on(self, descriptor: int) -> bool:
        """Say whether what was read is still there: a file cut back may have outgrown its old size since."""
        start = self._offset - len(self._anchor)
        return os.pread(descriptor, len(self._anchor), start) == self._anchor

    def _numbers(self, content: bytes) -> list[tuple[float, ...]]:
        lines = _lines(self._path, content)
        if self._indices is None and lines:
            self._indices = _indices(self._path, lines.pop(0), self._columns)
        return [_row(self._path, line, self._columns, self._indices or []) for line in lines]


class TableTail:
    """The last rows of a long log, one for each value of the first column, read without what comes before them.

    Args:
        path: the file, which may appear later.
        columns: which; all of them numbers.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns = path, columns
        self._signature = _MISSING
        self._rows: list[tuple[float, ...]] = []

    @property
    def changed(self) -> float:
        """When the file was last written to, in seconds since the epoch; 0 where there is none."""
        return self._signature[2] / 1e9

    def read(self, num_bytes: int) -> list[tuple[float, ...]]:
        """Return what stands in the last ``num_bytes``, of rows with equal first columns the last one.

        Raises:
            UserError: the file is not the log that was expected.
        """
        now = signature(self._path)
        if now == self._signature:
            return self._rows
        try:
            with self._path.open("rb") as stream:
                header = stream.readline()
                end = stream.seek(0, os.SEEK_END)
                start = stream.seek(max(len(header), end - num_bytes))
                content = stream.read(end - start)
        except FileNotFoundError:
            header, content, start = b"", b"", 0
        except OSError as error:
            raise UserError(f"cannot read {self._path}: {error.strerror}") from error
        if start > len(header):
            content = content[content.find(b"\n") + 1 :]
        lines = _lines(self._path, header + content[: content.rfind(b"\n") + 1]) if header.endswith(b"\n") else []
        indices = _indices(self._path, lines[0], self._columns) if lines else []
        rows = [_row(self._path, line, self._columns, indices) for line in lines[1:]]
        self._rows = list({row[0]: row for row in rows}.values())
        self._signature = now
        return self._rows


def _lines(path: Path, content: bytes) -> list[list[str]]:
    try:
        return list(csv.reader(content.decode().splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file: {error}") from error


def _indices(path: Path, header: Sequence[str], columns: Sequence[str]) -> list[int]:
    if missing := [column for column in columns if column not in header]:
        raise UserError(f"{path} has no column {missing[0]!r}; expected a run's log")
    return [header.index(column) for column in columns]


def _row(path: Path, line: Sequence[str], columns: Sequence[str], indices: Sequence[int]) -> tuple[float, ...]:
    try:
        row = tuple(float(line[index] or "nan") for index in indices)
        if not all(math.isfinite(value) or name in _MAY_BE_UNDEFINED for name, value in zip(columns, row, strict=True)):
            raise ValueError
    except (ValueError, IndexError) as error:
        raise UserError(f"{path} holds a row that is not a run's: {','.join(line)[:100]!r}") from error
    return row
