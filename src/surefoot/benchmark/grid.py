"""Grids: TOML files of tasks x algorithms x seeds, expanded to cells.

    tasks = ["cheetah-run", "myosuite-10"]
    env_steps = 1_000_000
    num_seeds = 10

    [[algorithms]]
    preset = "crossq-wn-code"
    utd = [1, 2]

    [[algorithms]]
    preset = "crossq-wn-code"
    utd = 2
    name = "crossq-wn-code-no-wn"
    weight_constraint = "none"

A task may be a table with keywords of its environment, ``{name = "LunarLander-v3", env_set = {continuous = true}}``.
Other keys at the top are fields of ``TrainConfig``. Other keys of an algorithm are dotted paths of its settings, such
as ``critic.norm = "none"``, with values as for ``--set`` on the command line.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from surefoot.algorithms import Algorithm
from surefoot.algorithms.part_text import with_settings
from surefoot.algorithms.presets import find_preset, get_preset
from surefoot.errors import UserError, suggest
from surefoot.keywords import check_keywords, may_name_code
from surefoot.misplaced import FIELDS
from surefoot.runs.untrusted import read_small, why_missing
from surefoot.tasks import Task, get_task, list_tasks, with_engine
from surefoot.text import printable
from surefoot.training.config import TrainConfig
from surefoot.training.config import settings as train_settings
from surefoot.training.plan import make_plan
from surefoot.whole_numbers import ratio, whole_number

_SUITES = {"dmc-15": "dmc", "myosuite-10": "myosuite"}
"""Name of the paper's tasks of a suite -> suite."""

MAX_NAME = 240
"""Characters in the name of a grid or cell; a file's may have 255 bytes."""

_OWN_KEYS = ("description", "tasks", "algorithms", "num_seeds", "seed", "seeds_per_cell")
_PRESET_KEYS = ("utd", "learning_rate")
_SETTINGS = tuple(
    setting.name for setting in train_settings() if setting.recorded and setting.name not in ("num_seeds", "seed")
)

_algorithms_built: dict[str, Algorithm] = {}


@dataclass(frozen=True)
class Cell:
    """A group of seeds of one algorithm on one task, trained by one process into one run directory.

    Attributes:
        name: Name of its run directory.
        task: Name of the task.
        preset: Name of the preset.
        label: Name of the algorithm in files and figures.
        overrides: Changes of the preset: dotted paths of settings, utd and learning_rate -> JSON values.
        settings: Fields of ``TrainConfig``, with ``num_seeds`` and ``seed`` of the cell.
    """

    name: str
    task: str
    preset: str
    label: str
    overrides: Mapping[str, Any]
    settings: Mapping[str, Any]

    def algorithm(self) -> Algorithm:
        """Build the algorithm.

        Raises:
            UserError: A setting is unknown or its value invalid.
        """
        key = repr((self.preset, self.label, self.overrides))
        if key not in _algorithms_built:  # the cells of a grid share a few algorithms
            own = {key: value for key, value in self.overrides.items() if key in _PRESET_KEYS}
            paths = [(key, _setting_text(value)) for key, value in self.overrides.items() if key not in _PRESET_KEYS]
            algorithm = with_settings(get_preset(self.preset, **own), paths)
            _algorithms_built[key] = algorithm.replace(name=self.label)
        return _algorithms_built[key]

    def find_task(self) -> Task:
        """Return the task, with the keywords of its environment.

        Raises:
            UserError: There is none, or it does not take these keywords.
        """
        return with_engine(get_task(self.task, self.settings.get("env_set")), self.settings.get("engine", "suite"))

    def config(self, out: Path) -> TrainConfig:
        """Return the configuration of the training run, with the run directory ``out``.

        Raises:
            UserError: A setting is invalid; see ``TrainConfig``.
        """
        return TrainConfig(task=self.task, algorithm=self.algorithm(), out=out, **self.settings)

    def to_data(self) -> dict[str, Any]:
        """Return the cell as JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Grid:
    """Content of a TOML file.

    Attributes:
        name: Name of the file without its suffix.
        description: One line of text.
        cells: Cells in the order of their starts.
    """

    name: str
    description: str
    cells: tuple[Cell, ...]

    def matching(self, patterns: Sequence[str]) -> list[Cell]:
        """Return the cells whose names match one of the patterns, such as ``"dog-*"``; all if there are none.

        Raises:
            UserError: A pattern matches no cell.
        """
        for pattern in patterns:
            if not any(fnmatchcase(cell.name, pattern) for cell in self.cells):
                raise UserError(
                    f"no cell of grid {self.name} matches {pattern!r}: expected a pattern of names such as "
                    f"{self.cells[0].name}"
                )
        return [cell for cell in self.cells if any(fnmatchcase(cell.name, pattern) for pattern in patterns or ["*"])]


def shipped_grids() -> list[str]:
    """Return the names of the grids in the package."""
    folder = resources.files("surefoot.benchmark") / "grids"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_grid(name: str) -> Grid:
    """Read a grid and validate its cells.

    Args:
        name: Path of a TOML file, or name of a shipped grid.

    Raises:
        UserError: The file is missing or invalid.
    """
    shipped = shipped_grids()
    if name in shipped:
        text = (resources.files("surefoot.benchmark") / "grids" / f"{name}.toml").read_text(encoding="utf-8")
        return parse_grid(name, text)
    path = Path(name)
    if (found := why_missing(path)).startswith("cannot"):
        raise UserError(f"the grid {name} {found}")
    if found == "is missing":
        raise UserError(
            f"no grid {name!r}: expected a TOML file or one of {', '.join(shipped)}{suggest(name, shipped)}"
        )
    try:
        text = read_small(path).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"grid {name}: not TOML: byte {error.start} is not UTF-8") from error
    return parse_grid(printable(path.stem)[:MAX_NAME], text)


def parse_grid(name: str, text: str) -> Grid:
    """Return the grid of a TOML text; see ``load_grid``.

    Args:
        name: Name of the grid.
        text: TOML text.

    Raises:
        UserError: The file is missing or invalid.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError includes numbers with thousands of digits
        raise UserError(f"grid {name}: not TOML: {error}") from error
    try:
        return Grid(name, _text(data, "description", ""), tuple(_cells(data)))
    except UserError as error:
        raise UserError(f"grid {name}: {error}") from error


def _cells(data: dict[str, Any]) -> list[Cell]:
    _check_keys(data, (*_OWN_KEYS, *_SETTINGS), "a grid has no key")
    settings = {key: value for key, value in data.items() if key in _SETTINGS}
    tasks, algorithms = _tasks(data, settings.pop("env_set", {})), _algorithms(data)
    num_seeds, first = _count(data, "num_seeds", 1, least=1), _count(data, "seed", 0, least=0)
    group = _count(data, "seeds_per_cell", num_seeds, least=1)
    cells = []
    for start in range(0, num_seeds, group):
        seeds = {"num_seeds": min(group, num_seeds - start), "seed": first + start}
        for task, own in tasks:
            for preset, label, overrides in algorithms:
                cell = Cell("", task, preset, label, overrides, {**settings, **own, **seeds})
                last = seeds["seed"] + seeds["num_seeds"] - 1
                utd = str(cell.algorithm().utd).replace("/", "-over-")
                name = f"--{label}--u{utd}--s{seeds['seed']}-{last}"
                name = file_name(cell.find_task().name).strip("-") + file_name(name)
                cells.append(dataclasses.replace(cell, name=name))
    _check(cells)
    return cells


def _check(cells: list[Cell]) -> None:
    """Validate that every cell can run, in a directory of its own."""
    names: set[str] = set()
    for cell in cells:
        if len(cell.name) > MAX_NAME:
            raise UserError(
                f"the name of cell {cell.name[:60]}... has {len(cell.name)} characters, expected at most {MAX_NAME}: "
                "give the algorithm a shorter name"
            )
        if cell.name in names:
            raise UserError(
                f"two cells have the name {cell.name}: give one of the algorithms another name, or remove the "
                "repeated task or algorithm"
            )
        names.add(cell.name)
        config = cell.config(Path(cell.name))
        try:
            make_plan(config, cell.find_task())
        except UserError as error:
            raise UserError(f"{cell.name}: {error}") from error


def _tasks(data: dict[str, Any], shared: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the name of every task, with the setting ``env_set`` if there are keywords.

    Args:
        data: Content of the file.
        shared: Keywords of the environments of all tasks.
    """
    entries = data.get("tasks")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str | dict) for entry in entries):
        raise UserError(f"tasks must be a list of one or more names, got {entries!r}")
    found = []
    for entry in entries:
        table = entry if isinstance(entry, dict) else {"name": entry}
        _check_keys(table, ("name", "env_set"), "unknown key of a task")
        if not isinstance(name := table.get("name"), str):
            raise UserError(f"the name of a task must be a text, got {name!r}")
        keywords = check_keywords(shared) | check_keywords(table.get("env_set", {}))
        if may_name_code(keywords):
            raise UserError(f"env_set of task {name!r} has a colon, which may name code, which a grid cannot run")
        own = {"env_set": keywords} if keywords else {}
        if (suite := _SUITES.get(name)) is not None:
            found += [(task.name, own) for task in list_tasks() if task.suite == suite and task.benchmark]
        elif ":" in name:
            raise UserError(f"task {name!r} is code, which a grid cannot run: expected the name of a task")
        else:
            found.append((get_task(name).name, own))
    return found


def _algorithms(data: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return preset, label and overrides of every algorithm and UTD."""
    entries = data.get("algorithms")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UserError('algorithms must be one or more tables: [[algorithms]] with preset = "crossq-wn-code"')
    found = []
    for entry in entries:
        preset = find_preset(_text(entry, "preset", None)).name
        label = _text(entry, "name", preset)
        if not label.isprintable() or not label.strip() or len(label) > 100:
            raise UserError(f"name must be 1 to 100 printable characters, got {label!r}")
        rate = entry.get("learning_rate", 0.0)
        if not isinstance(rate, int | float) or isinstance(rate, bool):
            raise UserError(f"learning_rate must be a number such as 3e-4, got {rate!r}")
        utds = entry.get("utd", [None])
        overrides = dict(_flattened({key: entry[key] for key in entry if key not in ("preset", "name", "utd")}))
        found += [
            (preset, label, overrides if utd is None else {"utd": _utd(utd), **overrides})
            for utd in (utds if isinstance(utds, list) else [utds])
        ]
    _check_labels(found)
    if not found:
        raise UserError("no algorithms: every utd is an empty list")
    return found


def _utd(value: Any) -> int | str:
    """Return a UTD of a grid, a number or a text such as "1/512", as a JSON value."""
    utd = ratio("utd", value)
    return utd if isinstance(utd, int) else str(utd)


def _check_labels(algorithms: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Validate that algorithms with one name, as shown in figures, differ in UTD only."""
    known: dict[str, tuple[str, dict[str, Any]]] = {}
    for preset, label, overrides in algorithms:
        own = (preset, {key: value for key, value in overrides.items() if key != "utd"})
        if known.setdefault(label, own) != own:
            raise UserError(f"two different algorithms have the name {label!r}: give one of them another name")


def _flattened(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted paths and values of nested tables: TOML parses ``critic.norm = "none"`` as a table ``critic``."""
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _setting_text(value: Any) -> str:
    """Return a TOML value as the text of a setting."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def _text(data: dict[str, Any], key: str, default: str | None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str):
        raise UserError(f"{key} must be a text, got {value!r}" if key in data else f"an algorithm lacks its {key}")
    return value


def _count(data: dict[str, Any], key: str, default: int, least: int) -> int:
    return whole_number(key, data.get(key, default), least)


def _check_keys(data: dict[str, Any], valid: tuple[str, ...], what: str) -> None:
    for key in data:
        if key not in valid:
            hint = ", which belongs to an entry of [[algorithms]]" if key in FIELDS else suggest(key, valid)
            raise UserError(f"{what} {key!r}{hint}; valid: {', '.join(valid)}")


def file_name(text: str) -> str:
    """Return a name that is valid on any file system."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)
