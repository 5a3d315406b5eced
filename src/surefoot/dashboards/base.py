"""What every dashboard does: follow a run's files, pass on what is new, and never stand in the training's way."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from surefoot.dashboards.moments import Follower, LogPoint
from surefoot.errors import RunFailure, UserError
from surefoot.runs import RunDirectory
from surefoot.training.callbacks import Callback, StepView
from surefoot.training.events import EvaluationDone, RunFinished, RunStarted

_PUSH_SECONDS = 10.0
"""Between two looks at training.csv while the run goes on."""


@dataclass(frozen=True)
class Synced:
    """What ``Dashboard.sync`` did.

    Attributes:
        moments: env steps at which the run has logged or evaluated.
        written: of these, those that were not there already.
        look: the address to look at, or the command to run.
    """

    moments: int
    written: int
    look: str


class Dashboard(Callback):
    """A dashboard's view of a run: made from the run directory, and made again from it whenever that is simpler.

    Given to ``train`` or ``resume`` it begins with the rows that are there, so a resumed run shows its whole curve also
    where the part before was not exported, and then adds what is new after every evaluation and about every 10 seconds;
    what comes later than an evaluation that is being played beside training waits for it.
    What goes wrong in it is one line on standard error; the training goes on without it.

    Attributes:
        name: as ``--dashboard`` and ``surefoot sync --to`` call it.
        title: as a person calls it.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self) -> None:
        self._path = Path()
        self._follower: Follower | None = None
        self._due = math.inf
        self._finished = False

    # ---------------------------------------------------------------- what a dashboard has to provide

    @abstractmethod
    def _begin(self, directory: RunDirectory) -> None:
        """Open the view of a run, whose moments then come from the first one on."""

    @abstractmethod
    def _write(self, moments: Sequence[LogPoint]) -> int:
        """Add moments, by rising env_steps, and return how many of them were new; there may be none to add."""

    @abstractmethod
    def _end(self, *, good: bool) -> None:
        """Write what is still on its way and let go of everything; do no harm where nothing was begun.

        Args:
            good: the run ended in good order.
        """

    @abstractmethod
    def _look(self) -> str:
        """The address to look at, or the command to run; called between `_begin` and `_end`."""

    # ---------------------------------------------------------------- while a run goes on

    def on_start(self, event: RunStarted) -> None:
        """Bring the view to where the run stands: what a resume dropped from the logs is dropped from it."""
        self._finished = False
        with self._sparing_the_run(event.path):
            self._open(event)
            self._push()

    def on_step(self, view: StepView) -> None:
        """Look at a clock; every few seconds, pass on new rows."""
        if time.monotonic() >= self._due:
            self._push_if_open()

    def on_evaluation(self, event: EvaluationDone) -> None:
        """Pass on new rows."""
        self._push_if_open()

    def on_finish(self, event: RunFinished) -> None:
        """Pass on the last rows."""
        self._push_if_open(last=True)
        self._finished = True

    def close(self) -> None:
        """End the view, also where the run failed."""
        with self._sparing_the_run(self._path):
            self._shut(good=self._finished)

    # ---------------------------------------------------------------- afterwards

    def sync(self, path: str | Path) -> Synced:
        """Bring the view to what a run directory holds, from its files alone; twice gives the same as once.

        Raises:
            UserError: there is no run, it has no rows yet, they are damaged, or a process trains in it.
            RunFailure: the dashboard did not take it.
        """
        directory = RunDirectory.open(path)
        with directory.lock():
            moments = Follower(directory.path).new_moments()
            if not moments:
                raise UserError(f"{directory.path} has nothing to export yet: its logs hold no rows")
            try:
                self._begin(directory)
                written, look = self._write(moments), self._look()
                self._end(good=True)
            except Exception as error:  # Foreign code, which may raise anything.
                with contextlib.suppress(Exception):
                    self._end(good=False)
                if isinstance(error, UserError | RunFailure):
                    raise
                raise RunFailure(f"{self.title} did not take {directory.path}: {_one_line(error)}") from error
        return Synced(len(moments), written, look)

    # ---------------------------------------------------------------- inside

    def _open(self, event: RunStarted) -> None:
        self._path = event.path
        self._begin(RunDirectory.open(event.path))
        # A checkpoint, from which a run goes on, has its evaluations.
        self._follower = Follower(event.path, event.beside_every, event.start_env_steps)

    def _push_if_open(self, last: bool = False) -> None:
        if self._follower is not None:
            with self._sparing_the_run(self._path):
                self._push(last)

    def _push(self, last: bool = False) -> None:
        assert self._follower is not None, "on_start comes first"
        self._write(self._follower.new_moments(last))
        self._due = time.monotonic() + _PUSH_SECONDS

    def _shut(self, *, good: bool) -> None:
        self._follower, self._due = None, math.inf
        self._end(good=good)

    @contextlib.contextmanager
    def _sparing_the_run(self, path: Path) -> Iterator[None]:
        """Give up exporting at the first failure, with one line: the run directory still has everything."""
        try:
            yield
        except Exception as error:  # Foreign code, which may raise anything.
            print(
                f"surefoot: warning: no more export to {self.title}: {_one_line(error)}; the run goes on, and "
                f"`surefoot sync {path} --to {self.name}` exports all of it later",
                file=sys.stderr,
                flush=True,
            )
            with contextlib.suppress(Exception):
                self._shut(good=False)


def refuse_links(*paths: Path) -> None:
    """Refuse symbolic links where a dashboard's files are written and cleared away.

    A run that a stranger packed could lead both to any other place.

    Raises:
        UserError: which of them is one.
    """
    for path in paths:
        if path.is_symlink():
            raise UserError(f"{path} is a symbolic link; expected a dashboard's own file or folder: remove the link")


def _one_line(error: Exception) -> str:
    """What an exception says, with its kind where it is not one of ours."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, UserError | RunFailure):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
