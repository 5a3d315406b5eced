"""``surefoot tasks`` and ``surefoot algorithms``."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.cli.options import PresetName

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
    """List the tasks that have a name here; any registered Gymnasium id works too."""

    json: bool = False
    """Print a JSON array instead of a table."""

    def run(self) -> int:
        """Print the tasks; return the exit code."""
        from surefoot.tasks import list_tasks

        tasks = list_tasks()
        if self.json:
            print_json(tasks, _TASK_KEYS)
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
        print_table(header, rows)
        return 0


@dataclass(frozen=True)
class Algorithms:
    """List the algorithms, or show every part of one."""

    name: PresetName = None
    """Show this algorithm's parts."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Print the presets; return the exit code."""
        from surefoot.algorithms import to_data
        from surefoot.algorithms.presets import get_preset, list_presets

        if self.name is not None:
            parts = to_data(get_preset(self.name))
            print(json_format.dumps(parts, indent=2) if self.json else "\n".join(outline(parts)))
            return 0
        presets = list_presets()
        if self.json:
            print_json(presets, ("name", "summary", "utd", "paper", "url"))
            return 0
        rows = [(preset.name, str(preset.utd), preset.summary, preset.paper) for preset in presets]
        print_table(("algorithm", "UTD", "what it is", "source"), rows)
        return 0


def outline(parts: dict[str, Any], indent: str = "") -> list[str]:
    """A composition as indented lines, one value each, from what ``algorithms.to_data`` returns."""
    lines: list[str] = []
    for name, value in parts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}: {value['part']}", *outline(value, indent + "  ")]
        elif name != "part":
            absent = "the task's" if name in ("discount", "action_repeat") else "none"
            lines.append(f"{indent}{name}: {absent if value is None else value}")
    return lines


def print_json(entries: Sequence[object], keys: Sequence[str]) -> None:
    """A JSON array with these attributes of each entry."""
    print(json_format.dumps([{key: getattr(entry, key) for key in keys} for entry in entries], indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns of plain text, the same on a terminal and in a pipe."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
