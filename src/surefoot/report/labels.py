"""Labels of curves: as short as distinguishes them from one another."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from surefoot.errors import UserError
from surefoot.report.runs import ReportRun
from surefoot.runs.untrusted import quoted

_IGNORED = ("name", "utd")
# Presets set these fields by the UTD: they are no difference between runs of different UTDs.
_SET_BY_UTD = ("policy_delay", "resets")
_MAX_LENGTH = 60


def label_runs(runs: Sequence[ReportRun]) -> dict[str, list[ReportRun]]:
    """Group runs into curves, sorted by label.

    Runs belong to one curve if their algorithms' descriptions are equal. The label is the algorithm's name, followed by
    the UTD where there are several and by the settings that differ; where that would be long, by a number instead.

    Raises:
        UserError: Runs of one curve and task followed different protocols.
    """
    groups: dict[str, list[ReportRun]] = {}
    for name, own in _by_name(runs).items():
        utds, differing = {run.utd for run in own}, _differing(own)
        curves: dict[tuple[str, str], list[ReportRun]] = defaultdict(list)
        for run in sorted(own, key=lambda run: run.utd):
            short = f"{name}, UTD {run.utd}" if len(utds) > 1 else name
            full = ", ".join([short, *_settings(run, differing)])
            curves[full if len(full) <= _MAX_LENGTH else short, _canonical(run.algorithm)].append(run)
        totals, numbers = Counter(label for label, _ in curves), Counter[str]()
        for (label, _), members in curves.items():
            numbers[label] += 1
            groups[label if totals[label] == 1 else f"{label} #{numbers[label]}"] = members
    for label, own in groups.items():
        _validate_protocols(label, own)
    return groups


def label_notes(groups: Mapping[str, list[ReportRun]]) -> list[str]:
    """Return a line for each label that lacks some of the settings in which its runs differ from others."""
    differing = {name: _differing(own) for name, own in _by_name([r for runs in groups.values() for r in runs]).items()}
    settings = {label: _settings(runs[0], differing[runs[0].name]) for label, runs in groups.items()}
    keys = {label: (runs[0].name, runs[0].utd, *settings[label]) for label, runs in groups.items()}
    equal = Counter(keys.values())
    lines = []
    for label, own in settings.items():
        missing = [entry for entry in own if entry not in label]
        if equal[keys[label]] > 1:
            missing.append("its description in config.json has other fields than that of an equal label")
        if missing:
            lines.append(f"{label}: {', '.join(missing)}")
    return lines


def family(label: str, run: ReportRun) -> str:
    """Return the label of a run's curve without its UTD, which the same algorithm at other UTDs shares."""
    with_utd = f"{run.name}, UTD {run.utd}"
    return f"{run.name}{label[len(with_utd) :]}" if label.startswith(with_utd) else label


def _by_name(runs: Sequence[ReportRun]) -> dict[str, list[ReportRun]]:
    return {name: [run for run in runs if run.name == name] for name in sorted({run.name for run in runs})}


def _differing(own: Sequence[ReportRun]) -> list[str]:
    """Return the paths of the settings that differ between runs of one name, apart from the UTD."""
    flat = [(run.utd, _flat("", run.algorithm)) for run in own]
    # Only settings of all: descriptions by another version of the library may have fewer fields, or more.
    paths = set()
    for path in set.intersection(*(set(one) for _, one in flat)) - set(_IGNORED):
        by_utd = path.partition(".")[0] in _SET_BY_UTD
        values = {(utd if by_utd else None, _canonical(one[path])) for utd, one in flat}
        if len(values) > len({utd for utd, _ in values}):
            paths.add(path)
    # Parts of different kinds have different fields, so the kind is enough.
    return [path for path in sorted(paths) if not any(path.startswith(f"{other}.") for other in paths)]


def _settings(run: ReportRun, paths: Sequence[str]) -> list[str]:
    flat = _flat("", run.algorithm)
    return [f"{path}={_short(flat[path])}" for path in paths]


def _flat(path: str, value: Any) -> dict[str, Any]:
    """Return the values of a description by their paths; a part's value is the name of its kind."""
    if not isinstance(value, dict):
        return {path: value}
    flat: dict[str, Any] = {path: value.get("part")} if path else {}
    for name, entry in value.items():
        if name != "part":
            flat |= _flat(f"{path}.{name}" if path else name, entry)
    return flat


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    text = "x".join(map(_short, value)) if isinstance(value, list) else "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _validate_protocols(label: str, runs: Sequence[ReportRun]) -> None:
    first: dict[str, ReportRun] = {}
    for run in runs:
        other = first.setdefault(run.task, run)
        if run.protocol != other.protocol:
            raise UserError(
                f"mixed protocols of {quoted(label)} on {quoted(run.task)}: {other.path} has {other.protocol}, "
                f"{run.path} has {run.protocol}; make separate reports of them"
            )
