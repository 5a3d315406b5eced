"""Directory of a grid: the resolved grid, and a run directory and a log per cell."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot.benchmark.attempts import ATTEMPTS
from surefoot.benchmark.grid import MAX_NAME, Cell, Grid, file_name
from surefoot.errors import UserError
from surefoot.keywords import may_name_code
from surefoot.runs.atomic import TEMPORARY, check_length, disk_errors, write_file
from surefoot.runs.layout import LONGEST, absolute
from surefoot.runs.lock import RunLock, is_held, is_lock_file
from surefoot.runs.untrusted import encode_json, open_regular, quoted, read_json, why_missing

BENCH = "bench.json"
FORMAT = 1
_LOCK = ".bench-lock"


class GridFolder:
    """Directory of a grid. Made by `create` or `open`.

    Attributes:
        path: The directory (absolute).
        grid: Name of the grid.
        cells: Cells of the grid.
    """

    def __init__(self, path: Path, grid: str, cells: Sequence[Cell]) -> None:
        """Use `create` or `open` instead."""
        self.path, self.grid, self.cells = path, grid, tuple(cells)
        self._by_name = {cell.name: cell for cell in cells}

    @classmethod
    def create(cls, path: Path, grid: Grid) -> GridFolder:
        """Make the directory of a grid, or open an existing one with the same grid.

        Raises:
            UserError: It holds another grid or something else, or cannot be made; nothing was written.
        """
        if (found := cls.find(path, grid)) is not None:
            _make_folders(found.path)
            return found
        where = absolute(path)
        content = {
            "format": FORMAT,
            "grid": grid.name,
            "description": grid.description,
            "cells": [cell.to_data() for cell in grid.cells],
        }
        try:
            where.mkdir(parents=True, exist_ok=True)
            write_file(where / BENCH, encode_json(content, indent=2, allow_nan=False) + b"\n")
        except OSError as error:
            raise UserError(f"cannot make {where}: {error.strerror}") from error
        _make_folders(where)
        return cls(where, grid.name, grid.cells)

    @classmethod
    def find(cls, path: Path, grid: Grid) -> GridFolder | None:
        """Open the directory of a grid without writing; None if there is nothing yet.

        Raises:
            UserError: It holds another grid or something else, or its path is too long.
        """
        where = absolute(path)
        if os.path.lexists(where / BENCH):
            found = cls.open(where)
            if found.cells != grid.cells:
                raise UserError(
                    f"{where} holds another grid, or {found.grid} with other cells: choose another --out, or use "
                    "the grid that it was made with"
                )
            return found
        try:
            check_length(where, Path("cells") / ("x" * MAX_NAME) / LONGEST)
        except OSError as error:
            raise UserError(f"cannot make {where}: {error.strerror}") from error
        if not _is_free(where):
            raise UserError(f"{where} is not the directory of a grid: expected a new or empty one")
        return None

    @classmethod
    def open(cls, path: Path) -> GridFolder:
        """Open a directory that `create` made.

        Raises:
            UserError: It is not such a directory, or its bench.json is damaged.
        """
        where = absolute(path)
        if not os.path.isfile(where / BENCH):
            found = why_missing(where / BENCH)
            if (what := why_missing(where)) == "is a folder":
                what = f"has no {BENCH}" if found == "is missing" else f"holds a {BENCH} that {found}"
            raise UserError(f"{where} {what}: expected a directory made by `surefoot bench GRID --out DIR`")
        data = read_json(where / BENCH)
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']!r}")
            cells = [_cell(entry) for entry in data["cells"]]
            if len({cell.name for cell in cells}) < len(cells):
                raise ValueError("two cells have one name")
            return cls(where, _short_text(data["grid"]), cells)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{where / BENCH} is damaged: {quoted(str(error), 200)}") from error

    def cell(self, name: str) -> Cell:
        """Return a cell by name.

        Raises:
            UserError: There is none.
        """
        if name not in self._by_name:
            raise UserError(f"{self.path / BENCH} has no cell {quoted(name)!r}")
        return self._by_name[name]

    def run_path(self, name: str) -> Path:
        """Return the path of a cell's run directory, which may not exist yet."""
        return self.path / "cells" / self.cell(name).name

    def log_path(self, name: str) -> Path:
        """Return the path of a cell's log of its output."""
        return self.path / "logs" / f"{self.cell(name).name}.log"

    @property
    def attempts_path(self) -> Path:
        """Log of all attempts; see ``attempts``."""
        return self.path / ATTEMPTS

    def lock(self) -> RunLock:
        """Return the lock of the launching process."""
        return RunLock(self.path / _LOCK)

    def is_launching(self) -> bool:
        """Return whether a launching process holds the lock."""
        return is_held(self.path / _LOCK)

    def last_lines(self, name: str, count: int = 3) -> list[str]:
        """Return the last lines of a cell's output; none if its log cannot be read."""
        path = self.log_path(name)
        try:
            with open_regular(path) as stream:
                stream.seek(max(0, stream.seek(0, 2) - 8192))
                lines = stream.read().decode(errors="replace").splitlines()
        except (OSError, UserError):
            return []
        return [quoted(line, 300) for line in lines if line.strip()][-count:]


def _make_folders(where: Path) -> None:
    for name in ("cells", "logs"):
        with disk_errors("make", where / name):
            (where / name).mkdir(exist_ok=True)


def _is_free(where: Path) -> bool:
    """Return whether a grid's directory can be made here: it is empty, or left so by a killed process."""
    try:
        names = os.listdir(where)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    except OSError as error:
        raise UserError(f"cannot make {where}: {error.strerror}") from error
    return all(is_lock_file(name, _LOCK) or name.startswith(TEMPORARY) for name in names)


def _cell(data: dict[str, Any]) -> Cell:
    """Return a cell of an untrusted file; its path must stay in the directory and its task must not be code."""
    cell = Cell(**data)
    for text in (cell.name, cell.task, cell.preset, cell.label):
        _short_text(text)
    if file_name(cell.name) != cell.name or not cell.name.strip("."):
        raise ValueError(f"invalid cell name {cell.name!r}")
    if ":" in cell.task:
        raise ValueError(f"the task {cell.task!r} is code")
    if not isinstance(cell.overrides, dict) or not isinstance(cell.settings, dict):
        raise TypeError(f"cell {cell.name} lacks overrides or settings")
    if may_name_code(cell.settings.get("env_set")):
        raise ValueError(f"env_set of cell {cell.name} has a colon, which may name code")
    return cell


def _short_text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MAX_NAME:
        raise ValueError(f"invalid name {value!r:.50}")
    return value
