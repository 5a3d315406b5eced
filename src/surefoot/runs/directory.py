"""Run directory: the record of a run, readable without this library."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from surefoot.errors import UserError
from surefoot.runs.atomic import disk_errors, remove_leftovers, write_file
from surefoot.runs.checkpoints import CheckpointStore
from surefoot.runs.layout import (
    CONFIG,
    FORMAT,
    LOCK,
    absolute,
    check_free,
    check_links,
    encode_config,
    make_folder,
    read_config,
    remove_run,
    unmake_folders,
)
from surefoot.runs.lock import RunLock
from surefoot.runs.untrusted import why_missing


class RunDirectory:
    """The directory of one run. Made by ``create`` or ``open``.

    All files are written under temporary names and moved into place, so a process killed at any moment leaves a usable
    run. Disk errors are raised as RunFailure. One process writes at a time: hold ``lock()`` while training;
    reading needs no lock.

    Attributes:
        path: The directory (absolute).
        checkpoints: Its checkpoints and replay segments.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        """Use ``create`` or ``open`` instead."""
        self.path = path
        self.checkpoints = CheckpointStore(path / "checkpoints", path / "replay")
        self._config = config
        self._lock = RunLock(path / LOCK)

    @classmethod
    def create(cls, path: str | os.PathLike[str], config: Mapping[str, Any], overwrite: bool = False) -> Self:
        """Start a new run.

        Args:
            path: New or empty directory; missing parents are made.
            config: JSON values that decide the run's numbers, and the machine it runs on. "format" is added.
            overwrite: Replace an existing run: its own files are removed, others in the directory stay.

        Raises:
            UserError: The path holds a run (and ``overwrite`` is off, a process trains there, or its files are symbolic
                links), is a file or a directory with other content, or cannot be made. Nothing was written.
            TypeError, ValueError: The config is not JSON.
        """
        where = absolute(path)
        encoded = encode_config({"format": FORMAT, **config})
        check_free(where, overwrite)
        check_links(where)
        made = make_folder(where)
        lock = RunLock(where / LOCK)
        try:
            lock.acquire()
            # Again, now that no other process can change it.
            check_free(where, overwrite)
            with disk_errors("write", where):
                remove_run(where)
                write_file(where / CONFIG, encoded)
        except BaseException:
            if made:
                lock.remove()  # unless another process holds it
            lock.release()
            unmake_folders(made)
            raise
        lock.release()
        return cls(where, json.loads(encoded))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open an existing run.

        Raises:
            UserError: There is none, or its config.json is damaged.
        """
        where = absolute(path)
        if not os.path.isfile(where / CONFIG):
            raise UserError(f"{where} is not a run: {_problem(where)}; expected a directory made by `surefoot train`")
        return cls(where, read_config(where))

    @property
    def config(self) -> dict[str, Any]:
        """A copy of config.json."""
        return copy.deepcopy(self._config)

    @property
    def policy_path(self) -> Path:
        """Folder of the run's policy, which may not exist yet."""
        return self.path / "policy"

    def update_config(self, changes: Mapping[str, Any]) -> None:
        """Replace top-level entries of config.json in one step.

        Raises:
            TypeError, ValueError: A change is not JSON. Nothing was written.
        """
        encoded = encode_config({**self._config, **changes})
        with disk_errors("write", self.path / CONFIG):
            write_file(self.path / CONFIG, encoded)
        self._config = json.loads(encoded)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Self]:
        """Hold the run's lock during a with block, and remove the temporary files of killed processes first.

        Raises:
            UserError: Another process holds the lock (the message names its process id) or replaced the run since it
                was opened; or the run's files are symbolic links.
        """
        check_links(self.path)
        self._lock.acquire()
        try:
            if read_config(self.path) != self._config:
                raise UserError(f"{self.path} was changed by another process since it was opened; start again")
            with disk_errors("clean up", self.path):
                for folder in (self.path, self.path / "checkpoints", self.path / "replay"):
                    remove_leftovers(folder)
            yield self
        finally:
            self._lock.release()

    @property
    def lock_note(self) -> str | None:
        """What the user should know about the held lock, in one line; None for an ordinary one."""
        return self._lock.note

    def check_lock(self) -> None:
        """Validate that no other process has taken over the held lock; see ``RunLock.check``.

        Raises:
            RunFailure: Another process has it.
        """
        self._lock.check()

    def keep_locked(self) -> Callable[[], None]:
        """Keep a held lock until the returned function is called, also after the block of ``lock()`` ends."""
        return self._lock.keep()


def _problem(where: Path) -> str:
    """Return why a path is not a run."""
    found = why_missing(where)
    if found != "is a folder":
        return "it is not a directory" if found == "is a file" else f"it {found}"
    config = why_missing(where / CONFIG)
    return f"it has no {CONFIG}" if config == "is missing" else f"its {CONFIG} {config}"
