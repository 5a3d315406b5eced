"""Files of a run directory: validation, creation and removal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.errors import UserError
from surefoot.runs.atomic import REPLACED, TEMPORARY, check_length, remove_folder, remove_leftovers
from surefoot.runs.checkpoints import CHECKPOINT_NAME, SEGMENT_NAME
from surefoot.runs.lock import is_lock_file
from surefoot.runs.untrusted import encode_json, quoted, read_json
from surefoot.text import shell_path

FORMAT = 1
"""Version of the layout, stored as "format" in config.json."""

CONFIG = "config.json"
LOCK = ".lock"
MODEL_CARD = "MODEL_CARD.md"
LONGEST = Path("checkpoints") / f"{TEMPORARY}removed-env_steps_000000000000" / "replay_counters.npz"
"""The longest path in a run directory."""
LOGS = ("evaluations.csv", "training.csv", "diagnostics.csv")


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path.

    Raises:
        UserError: It is relative, and the working directory no longer exists.
    """
    try:
        return Path(path).absolute()
    except FileNotFoundError as error:
        raise UserError(
            f"the working directory no longer exists, so {path} names nothing: change to another one, or give an "
            "absolute path"
        ) from error


def encode_config(config: Mapping[str, Any]) -> bytes:
    """Return a config as indented, strict JSON."""
    return encode_json(config, indent=2, allow_nan=False) + b"\n"


def read_config(path: Path) -> dict[str, Any]:
    """Read and validate the config.json of a directory.

    Raises:
        UserError: It is missing, damaged, or not that of a run.
    """
    config = read_json(path / CONFIG)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f'{path / CONFIG} is not that of a run: expected an object with "format": {FORMAT}')
    try:
        encode_config(config)
    except ValueError as error:
        raise UserError(f"{path / CONFIG} is damaged: it holds a number that is not finite") from error
    algorithm = config.get("algorithm")
    for name in (config.get("task"), algorithm.get("name") if isinstance(algorithm, dict) else None):
        if isinstance(name, str) and not name.isprintable():  # names are printed in tables
            raise UserError(f"{path / CONFIG} is damaged: the name {quoted(name)!r} cannot be printed")
    return config


def check_links(path: Path) -> None:
    """Validate that a run's own files and folders are not symbolic links.

    In an untrusted run, they could direct what is written, truncated or removed here to any other place.

    Raises:
        UserError: One of them is a link.
    """
    for name in (CONFIG, LOCK, *LOGS, "policy", "checkpoints", "replay"):
        if (path / name).is_symlink():
            raise UserError(
                f"{path / name} is a symbolic link; expected a run's own file or folder: replace it by its target, or "
                "make the whole run directory a link"
            )


def check_free(path: Path, overwrite: bool = False) -> None:
    """Validate that a new run can be made at a path, without writing anything.

    A process that trains in a run to be overwritten is only found when its lock is taken.

    Args:
        path: Absolute path of the new run directory.
        overwrite: Whether a run at the path may be replaced.

    Raises:
        UserError: The path holds something else, or a run without ``overwrite``, or cannot be written to.
    """
    _check_length(path)
    nearest = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if nearest == path:
        _check_content(path, overwrite)
    elif not nearest.is_dir():
        raise UserError(f"cannot make the run directory {path}: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"cannot make the run directory {path}: no permission to write in {nearest}")


def _check_length(path: Path) -> None:
    """Validate that every file of a run at this path can exist, before anything is made."""
    try:
        check_length(path, LONGEST)
    except OSError as error:
        raise UserError(f"cannot make the run directory {path}: {error.strerror}") from error


def _check_content(path: Path, overwrite: bool) -> None:
    if not path.is_dir():
        raise UserError(f"{path} is a file; expected a new or empty directory")
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise UserError(f"cannot make the run directory {path}: {error.strerror}") from error
    if all(is_lock_file(name, LOCK) or name.startswith(TEMPORARY) for name in names):
        return  # empty, or left by a process that was killed before it wrote the config
    if CONFIG not in names:
        raise UserError(f"{path} is not empty and not a run; expected a new or empty directory")
    try:
        read_config(path)
    except UserError as error:
        raise UserError(f"{path} is not empty and not a usable run ({error}); choose another directory") from error
    if not overwrite:
        raise UserError(
            f"{path} already holds a run; resume it with `surefoot resume {shell_path(path)}`, or pass --overwrite"
        )


def make_folder(path: Path) -> list[Path]:
    """Make a folder with its parents; return those that were missing, deepest first."""
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        unmake_folders(missing)
        raise UserError(f"cannot make the run directory {path}: {error.strerror}") from error
    return missing


def unmake_folders(folders: list[Path]) -> None:
    """Remove folders that ``make_folder`` made, unless they have gained content."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def remove_run(path: Path) -> None:
    """Remove the files that this library writes into a run directory, except the config.

    The config is replaced in one step later: without it, a kill now would leave a directory not recognised as a run.
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
