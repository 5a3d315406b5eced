"""``surefoot tasks`` and ``surefoot algorithms``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surefoot.cli.options import PresetName
from surefoot.engine import Engine
from surefoot.streams import emit, emit_json

if TYPE_CHECKING:
    from surefoot.algorithms.presets import PresetInfo

_TASK_KEYS = (
    "name",
    "suite",
    "observation_size",
    "action_size",
    "horizon",
    "action_repeat",
    "discount",
    "score_metric",
    "score_scale",
    "benchmark",
)


@dataclass(frozen=True)
class Tasks:
    """List the named tasks; any registered Gymnasium id works too."""

    json: bool = False
    """Print a JSON array instead of a table."""
    engine: Engine = "suite"
    """List the tasks of an engine. envpool: those of the paper that EnvPool has, and its ids. jax: all ids of MuJoCo
    Playground and gymnax, where they are installed, also those with discrete actions, which cannot be trained on."""

    def run(self) -> int:
        """Print the tasks; return the exit code."""
        from surefoot.tasks import get_task, list_tasks
        from surefoot.tasks.engines import PREFIX, list_pool_tasks

        tasks = list_tasks()
        ids: tuple[str, ...] = ()
        if self.engine == "envpool":
            from surefoot.tasks.envpool import list_ids

            tasks, ids = list_pool_tasks(tasks), tuple(f"{PREFIX}{env_id}" for env_id in list_ids())
        if self.engine == "jax":
            from surefoot.tasks.jax_tasks import list_names

            tasks, ids = (), list_names()
        if self.json:
            print_json((*tasks, *(get_task(name) for name in ids)), _TASK_KEYS)
            return 0
        header = ("task", "suite", "observation", "action", "horizon", "repeat", "discount", "score", "benchmark")
        rows = [
            (
                task.name,
                task.suite,
                str(task.observation_size),
                str(task.action_size),
                str(task.horizon),
                str(task.action_repeat),
                str(task.discount),
                task.score_metric,
                "yes" if task.benchmark else "",
            )
            for task in tasks
        ]
        if rows:
            print_table(header, rows)
        for name in ids:
            emit(name)
        return 0


@dataclass(frozen=True)
class Algorithms:
    """List the algorithms, or every setting of one with its value and source."""

    name: PresetName = None
    """Algorithm whose settings to list."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Print the presets; return the exit code."""
        from surefoot.algorithms import to_data
        from surefoot.algorithms.presets import find_preset, list_presets, parity

        if self.name is not None:
            preset = find_preset(self.name)
            if self.json:
                values = [{"name": name, "value": value, "source": source} for name, value, source in preset.values()]
                shown = {"algorithm": to_data(preset.build()), "values": values, "parity": parity.to_data(preset.name)}
                emit_json(shown)
            else:
                print_preset(preset)
            return 0
        presets = list_presets()
        if self.json:
            print_json(presets, ("name", "summary", "utd", "parameters", "paper", "url"))
            return 0
        rows = [(p.name, str(p.utd), f"{p.parameters:,}", p.summary, p.paper) for p in presets]
        print_table(("algorithm", "UTD", "parameters", "description", "source"), rows)
        emit("\nParameters: trained ones at cheetah-run's sizes, without target networks.")
        return 0


def print_preset(preset: PresetInfo) -> None:
    """Print an algorithm's settings, one line each, with value and source, indented as the parts are nested."""
    from surefoot.algorithms.presets import parity

    emit(f"{preset.name}: {preset.summary}\n{preset.paper}, {preset.url}\n{parity.line(preset.name)}\n")
    rows = []
    for path, value, source in preset.values():
        depth, name = path.count("."), path.rpartition(".")[2]
        rows.append(("  " * depth + name, _shown(path, value), source))
    print_table(("part", "value", "source"), rows)


def _shown(path: str, value: Any) -> str:
    if value is None:
        return "the task's" if path in ("discount", "action_repeat") else "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def print_json(entries: Sequence[object], keys: Sequence[str]) -> None:
    """Print a JSON array with these attributes of each entry."""
    emit_json([{key: getattr(entry, key) for key in keys} for entry in entries])


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns of plain text."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        emit("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
