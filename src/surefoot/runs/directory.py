"""The run directory: the truth of a run, readable without this library."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import UserError
from surefoot.runs.atomic import disk_errors, remove_leftovers, write_file
from surefoot.runs.checkpoints import Checkpoint, CheckpointStore
from surefoot.runs.csvlog import EVALUATION_COLUMNS, CsvLog
from surefoot.runs.layout import (
    CONFIG,
    FORMAT,
    LOCK,
    encode_config,
    make_folder,
    read_config,
    refuse_links,
    refuse_unless_free,
    refuse_unless_writable,
    remove_run,
    unmake_folders,
)
from surefoot.runs.lock import RunLock


class RunDirectory:
    """What one run wrote, and the only way to write it. Made by `create` or `open`.

    All writes are made beside and moved into place, so a process killed at any moment leaves a usable run. What the
    disk refuses becomes a RunFailure. One process writes at a time: hold `lock()` while training; reading needs none.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        """Use `create` or `open` instead."""
        self._path = path
        self._config = config
        self._lock = RunLock(path / LOCK)
        self._store = CheckpointStore(path / "checkpoints", path / "replay")

    @classmethod
    def check_free(cls, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Refuse now what `create` would refuse later, before the work that lies between; writes nothing.

        Whether a process trains in a run that is to be overwritten shows when `create` takes its lock.

        Raises:
            UserError: as `create`.
        """
        where = Path(path).absolute()
        refuse_unless_free(where, overwrite)
        refuse_unless_writable(where)

    @classmethod
    def create(cls, path: str | os.PathLike[str], config: Mapping[str, Any], overwrite: bool = False) -> RunDirectory:
        """Start a new run.

        Args:
            path: where; missing parents are made. An empty directory will do.
            config: everything that decides the run's numbers, and what it ran on (JSON, no NaN). "format" is added.
            overwrite: replace a run that is there: its own files are removed, others in the directory stay.

        Raises:
            UserError: the path holds a run (and `overwrite` is off, a process trains there, or its files are symbolic
                links), is a file or a directory with other content, or cannot be made. Nothing was written.
            TypeError, ValueError: the config is not JSON.
        """
        where = Path(path).absolute()
        content = {"format": FORMAT, **config}
        encoded = encode_config(content)
        refuse_unless_free(where, overwrite)
        refuse_links(where)
        made = make_folder(where)
        lock = RunLock(where / LOCK)
        try:
            lock.acquire()
            # Only now nobody else can change it. Looked at again: another process may have been faster.
            refuse_unless_free(where, overwrite)
            with disk_errors("write", where):
                remove_run(where)
                write_file(where / CONFIG, encoded)
        except BaseException:
            if made and lock.held:  # another's lock file must stay: who held it would be alone no more
                (where / LOCK).unlink(missing_ok=True)
            lock.release()
            unmake_folders(made)
            raise
        lock.release()
        return cls(where, json.loads(encoded))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunDirectory:
        """Open a run that is there.

        Raises:
            UserError: there is none, or its config.json is damaged.
        """
        where = Path(path).absolute()
        if not (where / CONFIG).is_file():
            what = "has no config.json" if where.is_dir() else "is not a directory" if where.exists() else "is missing"
            raise UserError(f"{where} is not a run: it {what}; expected a directory made by `surefoot train`")
        return cls(where, read_config(where))

    @property
    def path(self) -> Path:
        """The directory (absolute)."""
        return self._path

    @property
    def config(self) -> dict[str, Any]:
        """A copy of config.json."""
        return copy.deepcopy(self._config)

    @property
    def policy_path(self) -> Path:
        """Where the run's policy is, or will be."""
        return self._path / "policy"

    def update_config(self, changes: Mapping[str, Any]) -> None:
        """Replace top-level entries of config.json, all in one step.

        Raises:
            TypeError, ValueError: a change is not JSON. Nothing was written.
        """
        encoded = encode_config({**self._config, **changes})
        with disk_errors("write", self._path / CONFIG):
            write_file(self._path / CONFIG, encoded)
        self._config = json.loads(encoded)

    def acquire(self) -> None:
        """Take the run's lock until `release` or the process's end, and clear up after a killed predecessor.

        Raises:
            UserError: another process holds it (the line names its process id), or replaced the run meanwhile; or the
                run's files are symbolic links.
        """
        refuse_links(self._path)
        self._lock.acquire()
        try:
            if read_config(self._path) != self._config:
                raise UserError(f"{self._path} was changed by another process since it was opened; start again")
            with disk_errors("clear up", self._path):
                for folder in (self._path, self._path / "checkpoints", self._path / "replay"):
                    remove_leftovers(folder)
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def keep_locked(self) -> Callable[[], None]:
        """Keep the lock, where it is held, until the function that is returned is called; `release` is then no end."""
        return self._lock.keep()

    @contextlib.contextmanager
    def lock(self) -> Iterator[RunDirectory]:
        """Hold the run's lock during a with block; see `acquire`."""
        self.acquire()
        try:
            yield self
        finally:
            self.release()

    def evaluations(self) -> CsvLog:
        """Open evaluations.csv for appending; the caller closes it."""
        return CsvLog(self._path / "evaluations.csv", EVALUATION_COLUMNS)

    def training(self, columns: Sequence[str]) -> CsvLog:
        """Open training.csv for appending; a resumed run must name the columns it began with."""
        return CsvLog(self._path / "training.csv", columns)

    def diagnostics(self, columns: Sequence[str]) -> CsvLog:
        """Open diagnostics.csv for appending; a resumed run must name the columns it began with."""
        return CsvLog(self._path / "diagnostics.csv", columns)

    def write_segment(self, start: int, stop: int, arrays: Mapping[str, np.ndarray]) -> str:
        """Write what entered the replay buffers between two counts, and return the name to refer to it by.

        Write a segment right before the first checkpoint that refers to it: saving removes those nobody refers to.

        Args:
            start: agent steps (or any other running count) before its first entry.
            stop: the same after its last entry.
            arrays: name -> array of plain numbers.

        Raises:
            RunFailure: the disk refused.
        """
        return self._store.write_segment(start, stop, arrays)

    def read_segment(self, name: str | Path) -> dict[str, np.ndarray]:
        """Read a replay segment by name or path.

        Raises:
            UserError: it is missing or damaged.
        """
        return self._store.read_segment(name)

    def save_checkpoint(
        self,
        env_steps: int,
        arrays: Mapping[str, Mapping[str, np.ndarray]],
        meta: Mapping[str, Any],
        segments: Sequence[str | Path],
    ) -> Path:
        """Write a checkpoint, durable when this returns; keep it and the one before it, and remove all others.

        Its cost is the arrays given and nothing else: segments that this process wrote or loaded are not read again.

        Args:
            env_steps: simulator control steps per seed so far.
            arrays: file stem -> array name -> array of plain numbers.
            meta: JSON to keep beside them: counters, log offsets.
            segments: names or paths of the replay segments that a resumed run needs, in order.

        Returns:
            The checkpoint's folder.

        Raises:
            RunFailure: the disk refused; earlier checkpoints are as they were.
        """
        return self._store.save(env_steps, arrays, meta, segments)

    def has_checkpoints(self) -> bool:
        """Say whether a checkpoint was ever made, good or not."""
        return self._store.any()

    def load_checkpoint(self) -> Checkpoint:
        """Load the newest checkpoint whose every checksum is right, that of its replay segments included.

        Raises:
            UserError: there is none; the line says why each was refused.
        """
        return self._store.load()

    def latest_verified(self) -> int | None:
        """Return the env_steps of the checkpoint that `load_checkpoint` would load, or None. Reads all its files."""
        return self._store.latest_verified()

    def discard_after(self, checkpoint: Checkpoint) -> None:
        """Remove newer checkpoints and segments than a resumed run continues from.

        Raises:
            RunFailure: the disk refused.
        """
        self._store.discard_after(checkpoint)
