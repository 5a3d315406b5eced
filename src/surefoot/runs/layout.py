"""The files of a run directory: how one is told from other directories, made room for, and cleared."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.errors import UserError
from surefoot.runs.atomic import REPLACED, TEMPORARY, remove_folder, remove_leftovers
from surefoot.runs.checkpoints import CHECKPOINT_NAME, SEGMENT_NAME
from surefoot.runs.untrusted import quoted, read_json

FORMAT = 1
"""Version of the layout, stored as "format" in config.json."""

CONFIG = "config.json"
LOCK = ".lock"
MODEL_CARD = "MODEL_CARD.md"
LOGS = ("evaluations.csv", "training.csv", "diagnostics.csv")


def encode_config(config: Mapping[str, Any]) -> bytes:
    """Return a config as strict JSON for people to read."""
    return (json.dumps(config, indent=2, allow_nan=False) + "\n").encode()


def read_config(path: Path) -> dict[str, Any]:
    """Read the config.json in a directory, or refuse it with a UserError."""
    config = read_json(path / CONFIG)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f'{path / CONFIG} is not that of a run: expected an object with "format": {FORMAT}')
    try:
        encode_config(config)
    except ValueError as error:
        raise UserError(f"{path / CONFIG} is damaged: it holds a number that is not finite") from error
    algorithm = config.get("algorithm")
    for name in (config.get("task"), algorithm.get("name") if isinstance(algorithm, dict) else None):
        if isinstance(name, str) and not name.isprintable():  # names are shown in tables, where they could do harm
            raise UserError(f"{path / CONFIG} is damaged: the name {quoted(name)!r} cannot be printed")
    return config


def refuse_links(path: Path) -> None:
    """Refuse to write in a run whose own files or folders are symbolic links.

    A run that a stranger packed could lead what is written, cut back or cleared away here to any other place.

    Raises:
        UserError: which of them is a link.
    """
    for name in (CONFIG, LOCK, *LOGS, "policy", "checkpoints", "replay"):
        if (path / name).is_symlink():
            raise UserError(
                f"{path / name} is a symbolic link; expected a run's own file or folder: put what it leads to in its "
                "place, or make the whole run directory a link"
            )


def refuse_unless_free(path: Path, overwrite: bool) -> None:
    """Refuse a path where a new run would meet something it must not touch."""
    try:
        if not os.path.lexists(path):
            return
        if not path.is_dir():
            raise UserError(f"{path} is a file; expected a new or empty directory")
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise UserError(f"cannot make the run directory {path}: {error.strerror}") from error
    if all(name == LOCK or name.startswith(TEMPORARY) for name in names):
        return  # empty, or begun by a process that was killed before it wrote the config
    if CONFIG not in names:
        raise UserError(f"{path} is not empty and not a run; expected a new or empty directory")
    try:
        read_config(path)
    except UserError as error:
        raise UserError(f"{path} is not empty and not a usable run ({error}); choose another directory") from error
    if not overwrite:
        raise UserError(f"{path} already holds a run; resume it with `surefoot resume {path}`, or pass --overwrite")


def refuse_unless_writable(path: Path) -> None:
    """Refuse a path whose nearest existing folder cannot be written to."""
    nearest = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if not nearest.is_dir():
        raise UserError(f"cannot make the run directory {path}: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"cannot make the run directory {path}: no permission to write in {nearest}")


def make_folder(path: Path) -> list[Path]:
    """Make a folder with its parents and return those that were missing, deepest first."""
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        unmake_folders(missing)
        raise UserError(f"cannot make the run directory {path}: {error.strerror}") from error
    return missing


def unmake_folders(folders: list[Path]) -> None:
    """Remove folders that were just made; one that something else has begun to use stays."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def remove_run(path: Path) -> None:
    """Remove what this library writes into a run directory, and nothing else.

    The config stays, to be replaced in one step: without it, a kill now would leave a directory nobody dares to touch.
    """
    for folder, pattern in ((path / "checkpoints", CHECKPOINT_NAME), (path / "replay", SEGMENT_NAME)):
        remove_leftovers(folder)
        if not folder.is_dir():
            continue
        for entry in folder.iterdir():
            if not pattern.fullmatch(entry.name.removeprefix(REPLACED)):
                continue
            if entry.is_dir():
                remove_folder(entry)
            else:
                entry.unlink()
        _remove_if_empty(folder)
    for policy in (path / "policy", path / f"{REPLACED}policy"):
        for name in ("policy.json", "policy.npz"):
            (policy / name).unlink(missing_ok=True)
        _remove_if_empty(policy)
    for name in (*LOGS, MODEL_CARD):
        (path / name).unlink(missing_ok=True)
    remove_leftovers(path)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
