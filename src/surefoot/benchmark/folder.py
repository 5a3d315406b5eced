"""What `surefoot bench` writes: the resolved grid, a run directory and a log per cell."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot.benchmark.attempts import ATTEMPTS
from surefoot.benchmark.grid import Cell, Grid, file_name
from surefoot.errors import UserError
from surefoot.runs.atomic import TEMPORARY, disk_errors, write_file
from surefoot.runs.lock import RunLock, is_held
from surefoot.runs.untrusted import quoted, read_json, require_regular

BENCH = "bench.json"
FORMAT = 1
_LOCK = ".bench-lock"
_MOST_CHARACTERS = 240
"""Of any name; a file's may have 255."""


class BenchFolder:
    """A grid's directory. Made by `create` or `open`.

    Attributes:
        path: the directory (absolute).
        grid: the grid's name.
        cells: what it consists of.
    """

    def __init__(self, path: Path, grid: str, cells: Sequence[Cell]) -> None:
        """Use `create` or `open` instead."""
        self.path, self.grid, self.cells = path, grid, tuple(cells)
        self._by_name = {cell.name: cell for cell in cells}

    @classmethod
    def create(cls, path: Path, grid: Grid) -> BenchFolder:
        """Make the directory of a grid, or open the one that holds the same grid.

        Raises:
            UserError: it holds another grid or something else, or cannot be made; nothing was written.
        """
        where = path.absolute()
        if os.path.lexists(where / BENCH):
            found = cls.open(where)
            if found.cells != grid.cells:
                raise UserError(
                    f"{where} holds another grid, or {found.grid} with other cells: choose another --out, or give back "
                    "the grid that it was made with"
                )
            _make_folders(where)
            return found
        if not _is_free(where):
            raise UserError(f"{where} is not a benchmark's directory: expected a new or empty one")
        content = {
            "format": FORMAT,
            "grid": grid.name,
            "description": grid.description,
            "cells": [cell.to_data() for cell in grid.cells],
        }
        try:
            where.mkdir(parents=True, exist_ok=True)
            write_file(where / BENCH, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
        except OSError as error:
            raise UserError(f"cannot make {where}: {error.strerror}") from error
        _make_folders(where)
        return cls(where, grid.name, grid.cells)

    @classmethod
    def open(cls, path: Path) -> BenchFolder:
        """Open a directory that `create` made.

        Raises:
            UserError: it is none, or its bench.json is damaged.
        """
        where = path.absolute()
        if not os.path.isfile(where / BENCH):  # Path's own raises where a name is too long
            raise UserError(f"{where} has no {BENCH}: expected a directory made by `surefoot bench GRID --out DIR`")
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
            UserError: there is none.
        """
        if name not in self._by_name:
            raise UserError(f"{self.path / BENCH} has no cell {quoted(name)!r}")
        return self._by_name[name]

    def run_path(self, name: str) -> Path:
        """Return where a cell's run directory is, or will be."""
        return self.path / "cells" / self.cell(name).name

    def log_path(self, name: str) -> Path:
        """Return where what a cell printed is."""
        return self.path / "logs" / f"{self.cell(name).name}.log"

    @property
    def attempts_path(self) -> Path:
        """Where it stands what became of every attempt at a cell."""
        return self.path / ATTEMPTS

    def lock(self) -> RunLock:
        """Return the lock that one launching process holds."""
        return RunLock(self.path / _LOCK)

    def is_launching(self) -> bool:
        """Return whether a process holds that lock."""
        return is_held(self.path / _LOCK)

    def last_lines(self, name: str, count: int = 3) -> list[str]:
        """Return the last lines that a cell printed; none where there is no log that can be read."""
        path = self.log_path(name)
        try:
            require_regular(path)
            with path.open("rb") as stream:
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
    """Say whether a directory may be made here: nothing is there, or what a process left that was killed doing so."""
    try:
        names = os.listdir(where)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    except OSError as error:
        raise UserError(f"cannot make {where}: {error.strerror}") from error
    return all(name == _LOCK or name.startswith(TEMPORARY) for name in names)


def _cell(data: dict[str, Any]) -> Cell:
    """Return a cell from a file that may come from a stranger: its name leads nowhere else, its task is no code."""
    cell = Cell(**data)
    for text in (cell.name, cell.task, cell.preset, cell.label):
        _short_text(text)
    if file_name(cell.name) != cell.name or not cell.name.strip("."):
        raise ValueError(f"a cell called {cell.name!r}")
    if ":" in cell.task:
        raise ValueError(f"the task {cell.task!r} is code")
    if not isinstance(cell.overrides, dict) or not isinstance(cell.settings, dict):
        raise TypeError(f"the cell {cell.name} lacks overrides or settings")
    return cell


def _short_text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _MOST_CHARACTERS:
        raise ValueError(f"a name that is {value!r:.50}")
    return value
