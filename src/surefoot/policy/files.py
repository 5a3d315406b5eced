"""Files of a saved policy: its description policy.json and its arrays policy.npz, replaced together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import RunFailure, UserError
from surefoot.misplaced import explains_keywords
from surefoot.policy.network import check_arrays, finite_seeds
from surefoot.policy.policy import Policy
from surefoot.policy.spec import PolicySpec
from surefoot.runs.arrays import read_arrays, write_arrays
from surefoot.runs.atomic import (
    check_length,
    current_folder,
    digest_of,
    disk_errors,
    replaceable_folder,
    replacing_folder,
    sync_file,
    write_file,
)
from surefoot.runs.untrusted import read_small, why_missing
from surefoot.whole_numbers import whole_number

_SPEC = "policy.json"
_ARRAYS = "policy.npz"


def save_policy(
    folder: str | os.PathLike[str], spec: PolicySpec | Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a policy of S seeds; both files appear together or not at all, and replace those of an earlier policy.

    A score that is not finite is stored as null. A seed whose arrays are not finite (it diverged) is stored without
    its score; loading it is an error, loading the others is not.

    Args:
        folder: Folder to write, for a run its `policy_path`. Missing parents are created.
        spec: Description of the policy.
        arrays: "NAME/part" -> floats [S, ...] for every layer; see docs/run-directory.md.

    Raises:
        UserError: The description is invalid, the arrays do not match it, or the folder contains other files.
        RunFailure: No seed is finite, or the disk is full or broken; an earlier policy is unchanged.
    """
    values: dict[str, Any] = _plain(asdict(spec) if isinstance(spec, PolicySpec) else dict(spec))
    if isinstance(values.get("scores"), list):
        values["scores"] = [None if isinstance(s, float) and not np.isfinite(s) else s for s in values["scores"]]
    checked = PolicySpec.from_mapping(values)
    stored = {name: np.asarray(array) for name, array in arrays.items()}
    check_arrays(checked, stored)
    finite = finite_seeds(stored)
    if not finite.any():
        raise RunFailure(f"the policy's arrays are not finite for any of the seeds {list(checked.seeds)}")
    scores = tuple(score if ok else None for score, ok in zip(checked.scores, finite, strict=True))
    _write(Path(folder), replace(checked, scores=scores), stored)


@explains_keywords
def load_policy(path: str | os.PathLike[str], seed: int | None = None) -> Policy:
    """Load a policy for acting, without JAX. No code from the files is run, so they may be untrusted.

    Args:
        path: Run directory, or folder with policy.json and policy.npz.
        seed: Training seed; None selects the one with the best score at the last evaluation, the first on ties or
            without an evaluation.

    Raises:
        UserError: There is no policy, the seed is missing or diverged, or the files are damaged.
    """
    folder, spec, arrays = _load(Path(path))
    return Policy(spec, arrays, _choose(folder, spec, finite_seeds(arrays), seed))


def load_policies(path: str | os.PathLike[str], seeds: Sequence[int]) -> list[Policy | None]:
    """Load the policies of several seeds, all from the same step; None for a seed that diverged.

    Raises:
        UserError: There is no policy, a seed is missing, all diverged, or the files are damaged.
    """
    folder, spec, arrays = _load(Path(path))
    finite = finite_seeds(arrays)
    indices = [_index(folder, spec, seed) for seed in seeds]
    if not finite[indices].any():
        raise UserError(f"no seed in {folder} has finite parameters")
    return [Policy(spec, arrays, index) if finite[index] else None for index in indices]


def _load(where: Path) -> tuple[Path, PolicySpec, dict[str, np.ndarray]]:
    """Return the policy folder of a path and its content."""
    try:
        folder = _find(where)
        return folder, *_read(folder)
    except UserError:
        # A run in progress may have replaced the files between the two reads.
        folder = _find(where)
        return folder, *_read(folder)


def _find(where: Path) -> Path:
    """Return the policy folder of a path: itself, or that of a run."""
    for folder in (current_folder(where), current_folder(current_folder(where) / "policy")):
        if os.path.isfile(folder / _SPEC):
            return folder
    if (found := why_missing(where)) == "is missing":
        raise UserError(f"{where} does not exist; expected a run directory or a policy folder")
    if found.startswith("cannot") or (found := why_missing(where / "policy" / _SPEC)).startswith("cannot"):
        raise UserError(f"the policy in {where} {found}")
    raise UserError(f"{where} contains no policy; expected a run directory with policy/{_SPEC}, or a policy folder")


def _plain(value: Any) -> Any:
    """Convert NumPy numbers and arrays, at any depth, to JSON values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _write(folder: Path, spec: PolicySpec, arrays: Mapping[str, np.ndarray]) -> None:
    with disk_errors("write", folder):
        folder = replaceable_folder(folder)
        check_length(folder, _ARRAYS)
        if os.path.lexists(folder):
            expected = "expected a new folder or one with a policy"
            if not os.path.isdir(folder):
                raise UserError(f"{folder} is a file; {expected}")
            if other := sorted({entry.name for entry in folder.iterdir()} - {_SPEC, _ARRAYS}):
                raise UserError(
                    f"{folder} contains other files ({other[0]}); expected a new folder or one with a policy"
                )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing_folder(folder) as new:
            with (new / _ARRAYS).open("wb") as stream:
                digest = write_arrays(stream, arrays)
                sync_file(stream)
            write_file(new / _SPEC, spec.to_json(digest.sha256))


def _read(folder: Path) -> tuple[PolicySpec, dict[str, np.ndarray]]:
    """Read and validate both files."""
    try:
        spec, sha256 = PolicySpec.from_json(read_small(folder / _SPEC))
        arrays = read_arrays(folder / _ARRAYS)
        if digest_of(folder / _ARRAYS).sha256 != sha256:
            raise UserError(f"{_ARRAYS} has a wrong checksum")
        check_arrays(spec, arrays)
    except UserError as error:
        raise UserError(f"{folder / _SPEC}: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read the policy in {folder}: {error.strerror}") from error
    return spec, arrays


def _index(folder: Path, spec: PolicySpec, seed: int) -> int:
    """Return the index of a training seed."""
    if whole_number("seed", seed) not in spec.seeds:
        raise UserError(f"{folder} has no seed {seed}; it has {', '.join(map(str, spec.seeds))}")
    return spec.seeds.index(seed)


def _choose(folder: Path, spec: PolicySpec, finite: np.ndarray, seed: int | None) -> int:
    """Return the index of a seed on the seed axis."""
    if seed is not None:
        index = _index(folder, spec, seed)
        if not finite[index]:
            raise UserError(f"seed {seed} in {folder} has parameters that are not finite: it diverged")
        return index
    usable = np.flatnonzero(finite)
    if not usable.size:
        raise UserError(f"no seed in {folder} has finite parameters")
    scores = [-np.inf if (score := spec.scores[i]) is None else float(score) for i in usable]
    return int(usable[int(np.argmax(scores))])
