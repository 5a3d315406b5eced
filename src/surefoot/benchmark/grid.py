"""A grid: tasks x algorithms x seeds, from a small TOML file to the cells that train it.

    tasks = ["cheetah-run", "myosuite-10"]
    env_steps = 1_000_000
    num_seeds = 10

    [[algorithms]]
    preset = "crossq-wn"
    utd = [1, 5]

    [[algorithms]]
    preset = "crossq-wn"
    utd = 5
    name = "crossq-wn-no-wn"
    weight_constraint = "none"

Every key at the top that is not the grid's own is a field of ``TrainConfig``; every key of an algorithm that is not its
own is a field of ``Algorithm``, written as on the command line.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from surefoot.algorithms import Algorithm
from surefoot.algorithms.part_text import part_from_text
from surefoot.algorithms.presets import get_preset
from surefoot.errors import UserError, suggest
from surefoot.tasks import get_task, list_tasks
from surefoot.training.config import TrainConfig

_SUITES = {"dmc-15": "dmc", "myosuite-10": "myosuite"}
"""Words for the paper's tasks of a suite -> the suite."""

_OWN_KEYS = ("description", "tasks", "algorithms", "num_seeds", "seed", "seeds_per_cell")
_ALGORITHM_KEYS = ("preset", "name", "utd", "learning_rate")
_SETTINGS = tuple(
    field.name
    for field in dataclasses.fields(TrainConfig)
    if field.name not in ("task", "algorithm", "num_seeds", "seed", "out", "overwrite")
    and not field.name.startswith(("init_", "prefill"))
)
_FIELDS = tuple(field.name for field in dataclasses.fields(Algorithm) if field.name not in ("name", "utd"))


@dataclass(frozen=True)
class Cell:
    """A group of seeds of one algorithm on one task: what one process trains, into one run directory.

    Attributes:
        name: of its run directory.
        task: a task's name.
        preset: a named algorithm.
        label: the algorithm's name in files and figures.
        overrides: what differs from the preset, as ``get_preset`` takes it, parts as text.
        settings: fields of ``TrainConfig``; ``num_seeds`` and ``seed`` are those of the cell.
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
            UserError: a value that cannot work.
        """
        values = {
            field: part_from_text(field, value) if isinstance(value, str) and field in _FIELDS else value
            for field, value in self.overrides.items()
        }
        return get_preset(self.preset, **values).replace(name=self.label)

    def config(self, out: Path) -> TrainConfig:
        """Return the training run, to be made in the directory ``out``.

        Raises:
            UserError: as ``TrainConfig``.
        """
        return TrainConfig(task=self.task, algorithm=self.algorithm(), out=out, **self.settings)

    def to_data(self) -> dict[str, Any]:
        """Return the cell as JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Grid:
    """What a TOML file asks for.

    Attributes:
        name: the file's, without its ending.
        description: one line.
        cells: in the order in which they start.
    """

    name: str
    description: str
    cells: tuple[Cell, ...]


def shipped_grids() -> list[str]:
    """Return the names of the grids that come with the library."""
    folder = resources.files("surefoot.benchmark") / "grids"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_grid(name: str) -> Grid:
    """Read a grid and check every cell of it.

    Args:
        name: a TOML file, or a shipped grid's name.

    Raises:
        UserError: one line about the first mistake.
    """
    shipped = shipped_grids()
    if name in shipped:
        text = (resources.files("surefoot.benchmark") / "grids" / f"{name}.toml").read_text(encoding="utf-8")
        return parse_grid(name, text)
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"no grid {name!r}: expected a TOML file or one of {', '.join(shipped)}{suggest(name, shipped)}"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the grid {name}: {error}") from error
    return parse_grid(path.stem, text)


def parse_grid(name: str, text: str) -> Grid:
    """Return the grid that a TOML text describes; see ``load_grid``.

    Args:
        name: of the grid.
        text: TOML.

    Raises:
        UserError: one line about the first mistake.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise UserError(f"grid {name}: not TOML: {error}") from error
    try:
        return Grid(name, _text(data, "description", ""), tuple(_cells(data)))
    except UserError as error:
        raise UserError(f"grid {name}: {error}") from error


def _cells(data: dict[str, Any]) -> list[Cell]:
    _refuse_unknown(data, (*_OWN_KEYS, *_SETTINGS), "a grid has no key")
    tasks, algorithms = _tasks(data), _algorithms(data)
    settings = {key: value for key, value in data.items() if key in _SETTINGS}
    num_seeds, first = _count(data, "num_seeds", 1, least=1), _count(data, "seed", 0, least=0)
    group = _count(data, "seeds_per_cell", num_seeds, least=1)
    cells = []
    for start in range(0, num_seeds, group):
        seeds = {"num_seeds": min(group, num_seeds - start), "seed": first + start}
        for task in tasks:
            for preset, label, overrides in algorithms:
                algorithm = Cell("", task, preset, label, overrides, {**settings, **seeds}).algorithm()
                last = seeds["seed"] + seeds["num_seeds"] - 1
                name = file_name(f"{task}--{label}--utd{algorithm.utd}--s{seeds['seed']}-{last}")
                cells.append(Cell(name, task, preset, label, overrides, {**settings, **seeds}))
    _check(cells)
    return cells


def _check(cells: list[Cell]) -> None:
    """Refuse cells that no run can be made of, and two that would meet in one directory."""
    names: set[str] = set()
    for cell in cells:
        if cell.name in names:
            raise UserError(
                f"two cells are called {cell.name}: give one of the algorithms a name of its own, or leave out the "
                "task or algorithm that is listed twice"
            )
        names.add(cell.name)
        config = cell.config(Path(cell.name))
        task = get_task(cell.task)
        repeat = config.algorithm.action_repeat or task.action_repeat
        if config.env_steps // repeat <= config.algorithm.warmup_transitions:
            raise UserError(
                f"{cell.name}: env_steps {config.env_steps:,} end before the warm-up of "
                f"{config.algorithm.warmup_transitions:,} transitions does, which takes "
                f"{config.algorithm.warmup_transitions * repeat:,} env steps"
            )


def _tasks(data: dict[str, Any]) -> list[str]:
    entries = data.get("tasks")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
        raise UserError(f"tasks must be a list of one or more names, got {entries!r}")
    names = []
    for entry in entries:
        if (suite := _SUITES.get(entry)) is not None:
            names += [task.name for task in list_tasks() if task.suite == suite and task.benchmark]
        elif ":" in entry:
            raise UserError(f"task {entry!r} is code, which a grid does not run: expected a task's name")
        else:
            names.append(get_task(entry).name)
    return names


def _algorithms(data: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return preset, label and overrides of every algorithm, each UTD by itself."""
    entries = data.get("algorithms")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UserError('algorithms must be one or more tables: [[algorithms]] with preset = "crossq-wn"')
    found = []
    for entry in entries:
        _refuse_unknown(entry, (*_ALGORITHM_KEYS, *_FIELDS), "an algorithm has no key")
        preset = _text(entry, "preset", None)
        label = _text(entry, "name", preset)
        if not label.isprintable() or not label.strip() or len(label) > 100:
            raise UserError(f"name must be 1 to 100 printable characters, got {label!r}")
        rate = entry.get("learning_rate", 0.0)
        if not isinstance(rate, int | float) or isinstance(rate, bool):
            raise UserError(f"learning_rate must be a number such as 3e-4, got {rate!r}")
        utds = entry.get("utd", [None])
        overrides = {key: value for key, value in entry.items() if key not in ("preset", "name", "utd")}
        found += [
            (preset, label, overrides if utd is None else {"utd": _whole("utd", utd), **overrides})
            for utd in (utds if isinstance(utds, list) else [utds])
        ]
    _refuse_one_name_for_two(found)
    if not found:
        raise UserError("no algorithms: every utd is an empty list")
    return found


def _refuse_one_name_for_two(algorithms: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Refuse algorithms that a figure could not tell apart: one name, and more than the UTD that differs."""
    told: dict[str, tuple[str, dict[str, Any]]] = {}
    for preset, label, overrides in algorithms:
        own = (preset, {key: value for key, value in overrides.items() if key != "utd"})
        if told.setdefault(label, own) != own:
            raise UserError(f"two different algorithms are called {label!r}: give one of them a name of its own")


def _text(data: dict[str, Any], key: str, default: str | None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str):
        raise UserError(f"{key} must be a text, got {value!r}" if key in data else f"an algorithm lacks its {key}")
    return value


def _count(data: dict[str, Any], key: str, default: int, least: int) -> int:
    value = _whole(key, data.get(key, default))
    if value < least:
        raise UserError(f"{key} must be at least {least}, got {value}")
    return value


def _whole(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{key} must be a whole number, got {value!r}")
    return value


def _refuse_unknown(data: dict[str, Any], valid: tuple[str, ...], what: str) -> None:
    for key in data:
        if key not in valid:
            raise UserError(f"{what} {key!r}{suggest(key, valid)}; valid: {', '.join(valid)}")


def file_name(text: str) -> str:
    """Return a name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)
