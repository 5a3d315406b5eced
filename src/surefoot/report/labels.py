"""What a curve is called: as short as tells it from the others."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from surefoot.errors import UserError
from surefoot.report.runs import ReportRun
from surefoot.runs.untrusted import quoted

_NO_DIFFERENCE = ("name", "utd")
_FOLLOWS_UTD = ("policy_delay", "resets")
"""Fields that presets set by the UTD: they are no difference between runs of different UTDs."""
_LONGEST = 60
"""Letters of a label; what would be longer becomes a number, and a remark says what it stands for."""


def label_runs(runs: Sequence[ReportRun]) -> dict[str, list[ReportRun]]:
    """Group runs into curves, in order of their names.

    Runs are of one curve where the algorithm's whole description is equal. Its name is the label; the UTD follows where
    there are several, and so does whatever else differs, or a number where that would be long.

    Raises:
        UserError: runs of one curve and task followed different protocols.
    """
    groups: dict[str, list[ReportRun]] = {}
    for name, own in _by_name(runs).items():
        utds, differing = {run.utd for run in own}, _differing(own)
        wanted: dict[tuple[str, str], list[ReportRun]] = defaultdict(list)
        for run in sorted(own, key=lambda run: run.utd):
            short = f"{name}, UTD {run.utd}" if len(utds) > 1 else name
            told = ", ".join([short, *_told(run, differing)])
            wanted[told if len(told) <= _LONGEST else short, _canonical(run.algorithm)].append(run)
        counted = Counter(label for label, _ in wanted)
        numbers: Counter[str] = Counter()
        for (label, _), of_label in wanted.items():
            numbers[label] += 1
            groups[label if counted[label] == 1 else f"{label} #{numbers[label]}"] = of_label
    for label, own in groups.items():
        _refuse_mixed(label, own)
    return groups


def label_notes(groups: Mapping[str, list[ReportRun]]) -> list[str]:
    """Return a line for each label that does not say all that sets its runs apart from others of their name."""
    named = _by_name([run for runs in groups.values() for run in runs])
    differing = {name: _differing(own) for name, own in named.items()}
    told = {label: _told(runs[0], differing[runs[0].name]) for label, runs in groups.items()}
    keys = {label: (runs[0].name, runs[0].utd, *told[label]) for label, runs in groups.items()}
    alike = Counter(keys.values())
    lines = []
    for label, own in told.items():
        said = [entry for entry in own if entry not in label]
        if alike[keys[label]] > 1:
            said.append("its description in config.json has other fields than that of others alike")
        if said:
            lines.append(f"{label}: {', '.join(said)}")
    return lines


def family(label: str, run: ReportRun) -> str:
    """Return the label of a run's curve without its UTD: what it shares with the same algorithm at other UTDs."""
    with_utd = f"{run.name}, UTD {run.utd}"
    return f"{run.name}{label[len(with_utd) :]}" if label.startswith(with_utd) else label


def _by_name(runs: Sequence[ReportRun]) -> dict[str, list[ReportRun]]:
    by_name: dict[str, list[ReportRun]] = defaultdict(list)
    for run in runs:
        by_name[run.name].append(run)
    return {name: by_name[name] for name in sorted(by_name)}


def _differing(own: Sequence[ReportRun]) -> list[str]:
    """Return the paths of what differs between runs of one name, beside their UTD."""
    every = [(run.utd, _flat("", run.algorithm)) for run in own]
    # Only what all have: descriptions of another version of the library may lack a field, or have one more.
    paths = set()
    for path in set.intersection(*(set(one) for _, one in every)) - set(_NO_DIFFERENCE):
        field = path.partition(".")[0]
        values = {(utd if field in _FOLLOWS_UTD else None, _canonical(one[path])) for utd, one in every}
        if len(values) > len({utd for utd, _ in values}):
            paths.add(path)
    # Where the kind of a part differs, its fields are others too.
    return [path for path in sorted(paths) if not any(path.startswith(f"{other}.") for other in paths)]


def _told(run: ReportRun, differing: Sequence[str]) -> list[str]:
    """Return what a run has there."""
    mine = _flat("", run.algorithm)
    return [f"{path}={_short(mine[path])}" for path in differing]


def _flat(path: str, value: Any) -> dict[str, Any]:
    """Return the values inside a description by their paths; a part's own is the name of its kind."""
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
    """Return a value in a few letters."""
    if isinstance(value, list):
        text = "x".join(_short(entry) for entry in value)
    else:
        text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_mixed(label: str, runs: Sequence[ReportRun]) -> None:
    for task in {run.task for run in runs}:
        own = [run for run in runs if run.task == task]
        for run in own[1:]:
            if run.protocol != own[0].protocol:
                raise UserError(
                    f"mixed protocols of {quoted(label)} on {quoted(task)}: {own[0].path} has {own[0].protocol}, "
                    f"{run.path} has {run.protocol}; make reports of them by themselves"
                )
