"""Base of the dashboards: follows a run's files and never interrupts its training."""

from __future__ import annotations

import contextlib
import math
import os
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from surefoot.dashboards.points import LogFollower, LogPoint
from surefoot.errors import RunFailure, UserError
from surefoot.runs import RunDirectory
from surefoot.streams import warn
from surefoot.text import shell_path
from surefoot.training.callbacks import Callback, StepView
from surefoot.training.events import EvaluationDone, RunFinished, RunStarted

_PUSH_SECONDS = 10.0
"""Interval at which training.csv is read during training."""


@dataclass(frozen=True)
class Synced:
    """Result of ``Dashboard.sync``.

    Attributes:
        points: Number of env steps with rows in the run's logs.
        written: Number of these that the dashboard did not have yet.
        viewer: Address to open, or command to run.
        left_out: One line for each log that is missing or damaged.
    """

    points: int
    written: int
    viewer: str
    left_out: tuple[str, ...] = ()


class Dashboard(Callback):
    """A dashboard's view of a run, made from the run directory and rebuilt from it when needed.

    As a callback of ``train`` or ``resume`` it starts with the existing rows, so a resumed run shows its whole curve,
    and adds new ones after every evaluation and about every 10 seconds. A failure of the dashboard prints one line on
    standard error; training continues without it.

    Attributes:
        name: Name in ``--dashboard`` and ``surefoot sync --to``.
        title: Display name.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self) -> None:
        self._path = Path()
        self._follower: LogFollower | None = None
        self._due = math.inf
        self._finished = False

    # ---------------------------------------------------------------- implemented by each dashboard

    @abstractmethod
    def _start(self, directory: RunDirectory) -> None:
        """Open the view of a run; its points then come from the first one on."""

    @abstractmethod
    def _write(self, points: Sequence[LogPoint]) -> int:
        """Add points by rising env_steps, possibly none, and return how many of them were new."""

    @abstractmethod
    def _stop(self, *, success: bool) -> None:
        """Flush and release everything; do nothing if nothing was started.

        Args:
            success: Whether the run ended without a failure.
        """

    @abstractmethod
    def _viewer(self) -> str:
        """Return the address to open, or the command to run; called between `_start` and `_stop`."""

    # ---------------------------------------------------------------- during training

    def on_start(self, event: RunStarted) -> None:
        """Bring the view to the run's current step; rows that a resume dropped from the logs are dropped."""
        self._finished = False
        self._path = event.path
        with self._failures_reported():
            self._start(RunDirectory.open(event.path))
            self._follower = LogFollower(event.path)
        self._push()

    def on_step(self, view: StepView) -> None:
        """Add new rows every few seconds."""
        if time.monotonic() >= self._due:
            self._push()

    def on_evaluation(self, event: EvaluationDone) -> None:
        """Add new rows."""
        self._push()

    def on_finish(self, event: RunFinished) -> None:
        """Add the last rows."""
        self._push()
        self._finished = True

    def close(self) -> None:
        """Close the view, also if the run failed."""
        with self._failures_reported():
            self._close_view(success=self._finished)

    # ---------------------------------------------------------------- after training

    def sync(self, path: str | Path) -> Synced:
        """Bring the view to the content of a run directory; syncing twice equals syncing once.

        Raises:
            UserError: There is no run, it has no rows yet, all logs are damaged, or a process trains in it.
            RunFailure: The dashboard failed.
        """
        directory = RunDirectory.open(path)
        with directory.lock():
            left_out: list[str] = []
            points = LogFollower(directory.path).new_points(left_out.append)
            if not points:
                raise UserError(f"{directory.path} has nothing to show yet: its logs hold no rows")
            try:
                self._start(directory)
                written, viewer = self._write(points), self._viewer()
                self._stop(success=True)
            except Exception as error:  # third-party code, which may raise anything
                with contextlib.suppress(Exception):
                    self._stop(success=False)
                if isinstance(error, UserError | RunFailure):
                    raise
                raise RunFailure(f"{self.title} failed on {directory.path}: {_one_line(error)}") from error
        return Synced(len(points), written, viewer, tuple(left_out))

    # ---------------------------------------------------------------- internals

    def _push(self) -> None:
        with self._failures_reported():
            if self._follower is not None:
                self._write(self._follower.new_points())
                self._due = time.monotonic() + _PUSH_SECONDS

    def _close_view(self, *, success: bool) -> None:
        self._follower, self._due = None, math.inf
        self._stop(success=success)

    @contextlib.contextmanager
    def _failures_reported(self) -> Iterator[None]:
        """Close the view at the first failure, with one line on standard error; the run directory has everything."""
        try:
            yield
        except Exception as error:  # third-party code, which may raise anything
            warn(
                f"{self.title} failed: {_one_line(error)}; training continues without it, and "
                f"`surefoot sync {shell_path(self._path)} --to {self.name}` adds everything later"
            )
            with contextlib.suppress(Exception):
                self._close_view(success=False)


def check_links(*paths: Path) -> None:
    """Validate that a dashboard's own files and folders are not symbolic links.

    In an untrusted run, they could direct what is written and removed here to any other place.

    Raises:
        UserError: One of them is a link.
    """
    for path in paths:
        if os.path.islink(path):
            raise UserError(f"{path} is a symbolic link; expected a dashboard's own file or folder: remove the link")


def _one_line(error: Exception) -> str:
    """Return an exception's message, with its type if it is not one of ours."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, UserError | RunFailure):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
