"""Comparison of a run with the uninterrupted one, bit for bit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from surefoot.runs import RunDirectory

_CLOCK = {"wall_seconds", "env_steps_per_second", "grad_steps_per_second"}
_LOGS = ("evaluations.csv", "training.csv", "diagnostics.csv")
_OWN = {"config.json", ".lock", "MODEL_CARD.md", "manifest.json"}
"""Files that hold times, process ids or the history of resumptions: they must exist, and the rest compares them."""


def differences(expected: Path, found: Path, damaged: bool = False) -> list[str]:
    """Return one line per file that differs between two finished runs, wall-clock columns excepted.

    Args:
        expected: The uninterrupted run.
        found: The other run.
        damaged: Whether the other run's older checkpoint may be damaged; then only the newest counts.
    """
    lines = [f"{name} differs" for name in _LOGS if _rows(expected / name) != _rows(found / name)]
    names, others = _names(expected), _names(found)
    if damaged:
        keep = {name for name in names if name.parts[0] not in ("checkpoints", "replay")}
        others &= keep | {name for name in others if name.parts[0] not in ("checkpoints", "replay")}
        names = keep
    lines += [f"{name} is missing" for name in sorted(names - others)]
    lines += [f"{name} is left over" for name in sorted(others - names)]
    for name in sorted(names & others):
        if name.name not in {*_OWN, *_LOGS} and (expected / name).read_bytes() != (found / name).read_bytes():
            lines.append(f"{name} differs")
    return lines + _checkpoint_differences(expected, found)


def _checkpoint_differences(expected: Path, found: Path) -> list[str]:
    """Compare the newest checkpoints, whose checksums are verified, without their clocks."""
    one, two = (RunDirectory.open(path).checkpoints.load() for path in (expected, found))
    lines = [f"skipped: {line}" for line in two.skipped]
    if one.env_steps != two.env_steps:
        return [*lines, f"the last checkpoint is at env step {two.env_steps}, expected {one.env_steps}"]
    for file, arrays in one.arrays.items():
        for name, array in arrays.items():
            other = two.arrays[file].get(name)
            if other is None or array.dtype != other.dtype or array.tobytes() != other.tobytes():
                lines.append(f"{file} {name} differs")
    if _without_clock(one.meta) != _without_clock(two.meta):
        lines.append("the counters of the last checkpoint differ")
    return lines


def _without_clock(value: object) -> object:
    """Return JSON without wall-clock entries, and without the log offsets, which depend on their digits."""
    if isinstance(value, dict):
        return {
            key: _without_clock(item)
            for key, item in value.items()
            if key not in _CLOCK and not key.endswith("_offset")
        }
    return json.dumps(value)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{key: value for key, value in row.items() if key not in _CLOCK} for row in rows]


def _names(run: Path) -> set[Path]:
    return {path.relative_to(run) for path in run.rglob("*") if not path.is_dir()}
