"""Policies of a run's seeds, final or at its checkpoints."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from surefoot.errors import UserError
from surefoot.policy import Policy, PolicySpec, load_policy, save_policy
from surefoot.runs import RunDirectory
from surefoot.runs.arrays import read_arrays
from surefoot.runs.atomic import REPLACED, current_folder
from surefoot.runs.checkpoints import CHECKPOINT_NAME
from surefoot.runs.untrusted import read_small
from surefoot.spaces import EnvSpaces
from surefoot.whole_numbers import whole_number

_ACTOR_ARRAY = re.compile(r"\.actor\.(?:params|batch_stats)((?:\['\w+'\])+)")
"""Names of the actor's arrays in a checkpoint, such as ``.actor.params['torso']['dense_0']['kernel']``."""


def seeds_to_show(directory: RunDirectory, seeds: Sequence[int] | None) -> tuple[int, ...]:
    """Return the requested seeds, or the best one for None.

    Raises:
        UserError: The run has no policy, or `seeds` is no list of whole numbers, is empty or has duplicates.
    """
    if seeds is None:
        return (load_policy(directory.path).seed,)
    if not isinstance(seeds, Iterable):
        raise UserError(f"seeds must be a list of training seeds, got {seeds!r:.200}")
    chosen = tuple(whole_number("seeds", seed) for seed in seeds)
    if not chosen:
        raise UserError("seeds is empty, expected at least one training seed")
    if repeated := [seed for number, seed in enumerate(chosen) if seed in chosen[:number]]:
        raise UserError(f"seed {repeated[0]} is given twice")
    return chosen


def final_policies(directory: RunDirectory, seeds: Sequence[int]) -> list[Policy]:
    """Return the run's saved policy of each seed.

    Raises:
        UserError: The run has no policy, no such seed, or the seed diverged.
    """
    return [load_policy(directory.path, seed) for seed in seeds]


def checkpoint_policies(directory: RunDirectory, seeds: Sequence[int]) -> list[Policy]:
    """Return the policies at all checkpoints, ordered by checkpoint, then by seed.

    Raises:
        UserError: There is no checkpoint, it is damaged, there is no such seed, or the seed diverged.
    """
    root = directory.path / "checkpoints"
    names = {entry.name.removeprefix(REPLACED) for entry in root.iterdir()} if os.path.isdir(root) else set()
    folders = [current_folder(root / name) for name in sorted(names) if CHECKPOINT_NAME.fullmatch(name)]
    if not folders:
        raise UserError(f"{directory.path} has no checkpoint")
    return [policy for folder in folders for policy in _policies_at(directory, folder, seeds)]


def _policies_at(directory: RunDirectory, folder: Path, seeds: Sequence[int]) -> list[Policy]:
    """Convert a checkpoint's actor to a policy folder and load it, so that it is validated like any other."""
    try:
        spec, _ = PolicySpec.from_json(read_small(directory.policy_path / "policy.json"))
        columns = None
        if directory.config.get("actor_keys") is not None:
            columns = EnvSpaces.from_data(directory.config.get("spaces")).columns(spec.spaces)
        arrays = _actor_arrays(folder / "learner.npz", columns)
        at = dataclasses.replace(spec, env_steps=int(folder.name[-12:]), scores=(None,) * len(spec.seeds))
        with tempfile.TemporaryDirectory() as scratch:
            saved = Path(scratch) / "policy"
            save_policy(saved, at, arrays)
            try:
                return [load_policy(scratch, seed) for seed in seeds]
            except UserError as error:
                raise UserError(str(error).replace(str(saved), str(folder))) from error
    except OSError as error:
        what = f"cannot read {error.filename}" if error.filename else "cannot write temporary files (see TMPDIR)"
        raise UserError(f"{what}: {error.strerror or error}") from error


def _actor_arrays(path: Path, columns: tuple[int, ...] | None) -> dict[str, np.ndarray]:
    """Return the actor's arrays under their names in a policy file, such as "torso/dense_0/kernel".

    Args:
        path: Arrays of the learner in a checkpoint.
        columns: Entries of the observation that the actor receives; None for all.
    """
    stored = read_arrays(path)
    found = ((_ACTOR_ARRAY.fullmatch(name), array) for name, array in stored.items())
    arrays = {"/".join(re.findall(r"\w+", match[1])): array for match, array in found if match}
    # The number of updates of a batch renormalisation does not affect its output.
    arrays = {name: array for name, array in arrays.items() if not name.endswith("/passes")}
    if (mean := stored.get(".observations.mean")) is not None and ".observations.variance" in stored:
        own = {"mean": mean, "var": stored[".observations.variance"]}
        if columns is not None and all(array.ndim == 2 and array.shape[1] > max(columns) for array in own.values()):
            own = {name: array[:, columns] for name, array in own.items()}
        own |= {"scale": np.ones_like(own["mean"]), "bias": np.zeros_like(own["mean"])}
        arrays |= {f"observation_norm/{name}": array for name, array in own.items()}
    return arrays
