"""Labels of curves: at most three words that tell them apart, and their settings in full."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.errors import UserError
from surefoot.report.runs import ReportRun
from surefoot.report.tables import Row
from surefoot.runs.untrusted import quoted

_IGNORED = ("name", "utd")
# Presets set these fields by the UTD: they are no difference between runs of different UTDs.
_SET_BY_UTD = ("policy_delay", "resets")
# Settings whose values need no name.
_SELF_EXPLANATORY = ("precision", "widths")
_MAX_WORDS, _MAX_WORD = 3, 32
_MAX_VALUE = 60

type _Flat = dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """How a curve is named among those shown with it.

    Attributes:
        label: Label of at most three words.
        family: Label of the same algorithm at any UTD.
        settings: Its UTD, and the settings in which it differs from other curves of the algorithm's name.
    """

    label: str
    family: str
    settings: str


def label_runs(runs: Sequence[ReportRun]) -> dict[str, list[ReportRun]]:
    """Group runs into curves, sorted by name and UTD.

    Runs belong to one curve if their algorithms' descriptions are equal.

    Raises:
        UserError: Runs of one curve and task followed different protocols.
    """
    groups: dict[str, list[ReportRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.name, run.utd)):
        groups[_canonical(run.algorithm)].append(run)
    named = name_curves([own[0] for own in groups.values()])
    labelled = {curve.label: own for curve, own in zip(named, groups.values(), strict=True)}
    for label, own in labelled.items():
        _validate_protocols(label, own)
    return labelled


def name_curves(runs: Sequence[ReportRun]) -> list[Curve]:
    """Return the names of curves that are shown together, all labels distinct.

    A label is the algorithm's name, the UTD unless all curves have the same, and the settings that differ between
    curves of that name, except for values that most of them share. Where that takes more than three words or is
    another's label, a number follows the name instead.

    Args:
        runs: A run of each curve.
    """
    names, several_utds = _short_names([run.name for run in runs]), len({run.utd for run in runs}) > 1
    flat = [_flat("", run.algorithm) for run in runs]
    labels: list[str] = []
    families: list[str] = []
    settings: list[str] = []
    keys: list[Hashable] = []
    for index, (run, name) in enumerate(zip(runs, names, strict=True)):
        own = [i for i, other in enumerate(runs) if other.name == run.name]
        at, paths = own.index(index), _differing([flat[i] for i in own])
        words = _words([flat[i] for i in own], at, paths)
        with_utd = [f"{name} UTD {run.utd}", f"{name} UTD={run.utd}"] if several_utds else []
        without = [name] if not with_utd or len({runs[i].utd for i in own}) == 1 else []
        labels.append(_fitting([*with_utd, *without], words))
        families.append(_fitting([name], words))
        values = [f"{path}={_short(flat[index][path])}" for path in paths]
        same = {key: value for key, value in run.algorithm.items() if key not in (*_IGNORED, *_SET_BY_UTD)}
        keys.append((run.name, _canonical(same), *values))
        settings.append(", ".join([f"UTD {run.utd}", *values]))
    labels, families = _numbered(labels, names, range(len(runs))), _numbered(families, names, keys)
    return [Curve(*fields) for fields in zip(labels, families, settings, strict=True)]


def settings_table(groups: Mapping[str, ReportRun]) -> list[Row]:
    """Return every setting of some labels' algorithms as a row; a dash is a setting that an algorithm lacks.

    Args:
        groups: A run of each label.
    """
    flat = {label: _flat("", run.algorithm) for label, run in groups.items()}
    paths = dict.fromkeys(path for own in flat.values() for path in own)
    return [
        {"setting": path, **{label: _short(own[path]) if path in own else "–" for label, own in flat.items()}}
        for path in paths
    ]


def _short_names(names: Sequence[str]) -> list[str]:
    """Return names without the parts between commas that all have, and of at most three words."""
    parts = [name.split(", ") for name in names]
    shared = set.intersection(*map(set, parts)) if len(set(names)) > 1 else set()
    own = [", ".join(part for part in one if part not in shared) or ", ".join(one) for one in parts]
    return [" ".join(name.split()[:_MAX_WORDS]).rstrip(",") for name in own]


def _differing(own: Sequence[_Flat]) -> list[str]:
    """Return the paths of the settings that differ between descriptions of one name, apart from the UTD."""
    # Only settings of all: descriptions by another version of the library may have fewer fields, or more.
    paths = set()
    for path in set.intersection(*map(set, own)) - set(_IGNORED):
        by_utd = path.partition(".")[0] in _SET_BY_UTD
        values = {(_canonical(one["utd"]) if by_utd else None, _canonical(one[path])) for one in own}
        if len(values) > len({utd for utd, _ in values}):
            paths.add(path)
    # Parts of different kinds have different fields, so the kind is enough.
    return [path for path in sorted(paths) if not any(path.startswith(f"{other}.") for other in paths)]


def _words(own: Sequence[_Flat], at: int, paths: Sequence[str]) -> list[str]:
    """Return a word for each setting of one description that most of its name do not share, or half leave off."""
    columns = {path: [_canonical(one[path]) for one in own] for path in paths}
    # The same setting of actor and critic takes one word where it varies in the same way.
    chosen = list({(_last(path), *map(column.index, column)): path for path, column in columns.items()}.values())
    last = Counter(map(_last, chosen))
    words = []
    for path in chosen:
        name, value = _last(path) if last[_last(path)] == 1 else path, own[at][path]
        if 2 * columns[path].count(columns[path][at]) + (value is False) > len(own):
            continue
        text = "_".join(_short(value).split())
        words.append(text if name in _SELF_EXPLANATORY else name if value is True else f"{name}={text}")
    return words


def _fitting(starts: Sequence[str], words: Sequence[str]) -> str:
    """Return the first start with which the words are few and short enough, or nothing."""
    texts = (" ".join([start, *words]) for start in starts if all(len(word) <= _MAX_WORD for word in words))
    return next((text for text in texts if len(text.split()) <= _MAX_WORDS), "")


def _numbered(labels: Sequence[str], names: Sequence[str], keys: Sequence[Hashable]) -> list[str]:
    """Replace labels that are empty or those of several keys by the name and a number."""
    owners = Counter(label for label, _ in set(zip(labels, keys, strict=True)))
    found: dict[Hashable, str] = {}
    for label, name, key in zip(labels, names, keys, strict=True):
        base, taken = " ".join(name.split()[: _MAX_WORDS - 1]), {*labels, *found.values()}
        numbers = (f"{base} #{number}" for number in itertools.count(1))
        if key not in found:
            found[key] = label if label and owners[label] == 1 else next(own for own in numbers if own not in taken)
    return [found[key] for key in keys]


def _flat(path: str, value: Any) -> _Flat:
    """Return the values of a description by their paths; a part's value is the name of its kind."""
    if not isinstance(value, dict):
        return {path: value}
    flat: _Flat = {path: value.get("part", True)} if path else {}
    for name, entry in value.items():
        if name != "part":
            flat |= _flat(f"{path}.{name}" if path else name, entry)
    return flat


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    text = "x".join(map(_short, value)) if isinstance(value, list) else "none" if value is None else str(value)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 3]}..."


def _validate_protocols(label: str, runs: Sequence[ReportRun]) -> None:
    first: dict[str, ReportRun] = {}
    for run in runs:
        other = first.setdefault(run.task, run)
        if run.protocol != other.protocol:
            raise UserError(
                f"mixed protocols of {quoted(label)} on {quoted(run.task)}: {other.path} has {other.protocol}, "
                f"{run.path} has {run.protocol}; make separate reports of them"
            )
