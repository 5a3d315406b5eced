"""What a curve is called: as short as tells it from the others."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from surefoot.errors import UserError
from surefoot.report.runs import ReportRun
from surefoot.runs.untrusted import quoted

_NO_DIFFERENCE = ("name", "utd", "part")


def label_runs(runs: Sequence[ReportRun]) -> dict[str, list[ReportRun]]:
    """Group runs into curves, in order of their names.

    Runs are of one curve where the algorithm's whole description is equal. Its name is the label; the UTD follows where
    there are several, and so does whatever else differs.

    Raises:
        UserError: runs of one curve and task followed different protocols.
    """
    by_name: dict[str, list[ReportRun]] = defaultdict(list)
    for run in runs:
        by_name[run.name].append(run)
    groups: dict[tuple[str, str], list[ReportRun]] = defaultdict(list)
    for name in sorted(by_name):
        own = by_name[name]
        utds = {run.utd for run in own}
        differing = _differing_fields(own)
        for run in sorted(own, key=lambda run: run.utd):
            parts = [name, *([f"UTD {run.utd}"] if len(utds) > 1 else [])]
            parts += [f"{field}={_short(run.algorithm.get(field))}" for field in differing]
            groups[", ".join(parts), _canonical(run.algorithm)].append(run)
    # Descriptions are shortened in a label; where two then read alike, numbers keep them apart.
    counted = Counter(label for label, _ in groups)
    numbers: Counter[str] = Counter()
    labelled: dict[str, list[ReportRun]] = {}
    for (label, _), own in groups.items():
        numbers[label] += 1
        labelled[label if counted[label] == 1 else f"{label} #{numbers[label]}"] = own
    for label, own in labelled.items():
        _refuse_mixed(label, own)
    return labelled


def family(label: str, run: ReportRun) -> str:
    """Return the label of a run's curve without its UTD: what it shares with the same algorithm at other UTDs."""
    with_utd = f"{run.name}, UTD {run.utd}"
    return f"{run.name}{label[len(with_utd) :]}" if label.startswith(with_utd) else label


def _differing_fields(runs: Sequence[ReportRun]) -> list[str]:
    """Return the fields in which runs of one name differ at equal UTD; a preset may let others follow its UTD."""
    differing: set[str] = set()
    for utd in {run.utd for run in runs}:
        own = [run.algorithm for run in runs if run.utd == utd]
        fields = {field for algorithm in own for field in algorithm} - set(_NO_DIFFERENCE)
        differing |= {field for field in fields if len({_canonical(one.get(field)) for one in own}) > 1}
    return sorted(differing)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    """Return a part of an algorithm in a few words."""
    if isinstance(value, dict) and "part" in value:
        inside = [_short(entry) for key, entry in value.items() if key != "part"]
        text = f"{value['part']}({', '.join(inside)})" if inside else str(value["part"])
    elif isinstance(value, list):
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
