"""Datasets from .npz files and Minari; docs/warm-start.md describes both."""

from __future__ import annotations

import difflib
import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import MissingDependency, UserError
from surefoot.runs.arrays import check_array_sizes
from surefoot.runs.atomic import digest_of
from surefoot.runs.untrusted import why_missing
from surefoot.spaces import ActionSpec, ObservationPart, UnsupportedSpace
from surefoot.tasks.spaces import describe_action
from surefoot.training.warm_start.dataset import ARRAYS, Dataset


def read_dataset(data: str | os.PathLike[str]) -> Dataset:
    """Read transitions from an .npz file or a Minari dataset on this machine; nothing is downloaded.

    Args:
        data: Path of an .npz file, id of a Minari dataset, or folder that contains one.

    Raises:
        UserError: It is missing, damaged or not in a format that docs/warm-start.md describes.
        MissingDependency: It is not an .npz file, and Minari is not installed.
    """
    path = Path(data)
    if os.path.isfile(path):
        return _read_npz(path)
    if (found := why_missing(path)).startswith("cannot"):
        raise UserError(f"the dataset {path} {found}")
    if path.suffix == ".npz":
        raise UserError(f"{path} does not exist; expected an .npz file, or the id or folder of a Minari dataset")
    return _read_minari(str(data))


def _read_npz(path: Path) -> Dataset:
    arrays: dict[str, np.ndarray] = {}
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path} is not an .npz file; expected one with {', '.join(ARRAYS)}")
        check_array_sizes(path)
        with np.load(path, allow_pickle=False) as stored:
            for name in ARRAYS:
                if name not in stored:
                    near = difflib.get_close_matches(name, set(stored.files) - set(ARRAYS), n=1, cutoff=0.3)
                    raise UserError(
                        f"{path} has no array {name!r}{f' (but {near[0]!r})' if near else ''}, expected "
                        f"{', '.join(ARRAYS)}"
                    )
                arrays[name] = stored[name]
    except UserError:
        raise
    except Exception as error:  # NumPy and zipfile raise many types for files that are damaged or contain objects.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot read {path} as an .npz file of plain arrays: {reason}") from error
    return Dataset(name=str(path), sha256=digest_of(path).sha256, **_plain(str(path), arrays))


def _plain(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Validate types and dimensions, and return the arrays as float32 and bool."""
    plain = {}
    for key, given in arrays.items():
        array = np.asarray(given)
        if key in ("terminated", "truncated"):
            if array.dtype != bool and not (array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all()):
                raise UserError(f"{name}: {key} must hold booleans (or 0 and 1), got {array.dtype}")
            plain[key] = array.astype(bool)
            continue
        if array.dtype.kind not in "iuf":
            raise UserError(f"{name}: {key} must hold numbers, got {array.dtype}")
        with np.errstate(over="ignore"):  # Values beyond float32 become infinite, which is an error later.
            plain[key] = array.astype(np.float32)
    for key in ("observations", "next_observations", "actions"):
        if plain[key].ndim != 2:
            raise UserError(f"{name}: {key} is {list(plain[key].shape)}, expected two dimensions")
    if plain["rewards"].ndim != 1:
        raise UserError(f"{name}: rewards is {list(plain['rewards'].shape)}, expected [N]")
    return plain


# ---------------------------------------------------------------- Minari


def _read_minari(data: str) -> Dataset:
    try:
        import minari
        from minari.storage.datasets_root_dir import get_dataset_path
    except ImportError:
        raise MissingDependency("minari", "minari", f"{data!r} is no .npz file, and a Minari dataset") from None

    folder = next(
        (
            candidate
            for candidate in (Path(data), Path(data) / "data", get_dataset_path(data) / "data")
            if os.path.isfile(candidate / "metadata.json")
        ),
        None,
    )
    if folder is None:
        known = list(minari.list_local_datasets())
        near = difflib.get_close_matches(data, known, n=1, cutoff=0.5)
        raise UserError(
            f"{data!r} is neither an .npz file nor a Minari dataset on this machine"
            + (f"; did you mean {near[0]!r}?" if near else f" ({len(known)} are here; see `minari list local`)")
        )
    try:
        dataset = minari.MinariDataset(folder)
        episodes = [_episode(episode) for episode in dataset.iterate_episodes()]
    except UserError:
        raise
    except Exception as error:  # Minari, HDF5 and Arrow raise many types for datasets that are damaged or unsupported.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot read the Minari dataset {data!r}: {reason}") from error
    if not episodes:
        raise UserError(f"{data!r} holds no transitions")
    arrays = {name: np.concatenate([episode[name] for episode in episodes]) for name in ARRAYS}
    sha256 = hashlib.sha256()
    for name in ARRAYS:
        sha256.update(np.ascontiguousarray(arrays[name]).tobytes())
    return Dataset(
        name=data,
        sha256=sha256.hexdigest(),
        parts=episodes[0]["parts"],
        actions_of=_recorded_actions(dataset),
        **_plain(data, arrays),
    )


def _recorded_actions(dataset: Any) -> ActionSpec | None:
    """Return the actions of the environment that a dataset was recorded in; None if it does not declare bounds."""
    try:
        return describe_action(dataset.action_space)
    except UnsupportedSpace:
        return None


def _episode(episode: Any) -> dict[str, Any]:
    """Return the transitions of one episode, which has one observation more than actions."""
    observations, parts = _flat(episode.observations)
    return {
        "observations": observations[:-1],
        "next_observations": observations[1:],
        "actions": np.reshape(episode.actions, (len(episode.actions), -1)),
        "rewards": episode.rewards,
        "terminated": episode.terminations,
        "truncated": episode.truncations,
        "parts": parts,
    }


def _flat(observations: Any) -> tuple[np.ndarray, tuple[tuple[str, int], ...] | None]:
    """Return observations as [T + 1, O], and keys and sizes of their parts; None for flat ones."""
    found = [(path, np.reshape(array, (len(array), -1))) for path, array in _arrays(observations)]
    keys = [ObservationPart.at(path, (), "").key for path, _ in found]
    joined = found[0][1] if keys == [None] else np.concatenate([array for _, array in found], axis=1)
    return joined, tuple((key, array.shape[1]) for key, (_, array) in zip(keys, found, strict=True) if key) or None


def _arrays(observations: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield the arrays of nested observations with their paths."""
    if not isinstance(observations, dict | tuple):
        yield path, observations
        return
    for key, value in observations.items() if isinstance(observations, dict) else enumerate(observations):
        yield from _arrays(value, (*path, key))
