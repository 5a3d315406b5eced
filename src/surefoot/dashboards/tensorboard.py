"""TensorBoard event files, made from a run directory."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.dashboards.base import Dashboard, refuse_links
from surefoot.dashboards.moments import LogPoint
from surefoot.errors import MissingDependency, UserError
from surefoot.runs import RunDirectory

_FILE = re.compile(r"events\.out\.tfevents\.(\d{10})\.surefoot")


class TensorBoard(Dashboard):
    """Writes RUN/tensorboard/, with a folder for each seed and one for their mean: ``tensorboard --logdir RUN``.

    TensorBoard draws one chart per metric and one line per folder, so this layout puts all seeds of a metric into one
    chart, beside their mean and the seeds of any other run under the same ``--logdir``.

    Every start (of a run, a resumed run, a sync) writes new files from the first row on and then empties the old ones.
    The new ones begin with a restart at step 0: a TensorBoard that is open all the while forgets what it had read.
    The wall time of a point is the run's start plus its training time, so pauses between a run's parts leave no gap.

    Raises:
        MissingDependency: tensorboardX is not installed.
    """

    name = "tensorboard"
    title = "TensorBoard"

    def __init__(self) -> None:
        super().__init__()
        _import_writer()
        self._folder = Path()
        self._started = 0.0
        self._generation = 0
        self._old: list[Path] = []
        self._writers: dict[str, Any] = {}

    def _begin(self, directory: RunDirectory) -> None:
        self._folder = directory.path / "tensorboard"
        refuse_links(self._folder, *self._folder.glob("*"), *self._folder.glob("*/*"))
        self._started = _started(directory)
        self._old = [file for file in self._folder.glob("*/*") if _FILE.fullmatch(file.name)]
        # A reader goes through a folder's files by name, so that of a newer one has to sort later.
        self._generation = 1 + max((_generation(file) for file in self._old), default=0)
        self._writers = {}

    def _write(self, moments: Sequence[LogPoint]) -> int:
        for moment in moments:
            for series, values in moment.series.items():
                if values:
                    self._writer(series).write(_event(self._started, moment, values))
        for writer in self._writers.values() if moments else ():
            writer.flush()
        self._retire_old()
        return len(moments)

    def _end(self, *, good: bool) -> None:
        while self._writers:
            self._writers.popitem()[1].close()

    def _look(self) -> str:
        return f"tensorboard --logdir {shlex.quote(str(self._folder))}"

    def _writer(self, series: str) -> Any:
        if series not in self._writers:
            folder = self._folder / series
            folder.mkdir(parents=True, exist_ok=True)
            writer = _import_writer()(str(folder / f"events.out.tfevents.{self._generation:010}.surefoot"))
            self._writers[series] = writer
            for event in _first_events(self._started):
                writer.write(event)
        return self._writers[series]

    def _retire_old(self) -> None:
        """Take away what the new files stand in for, and in the end the folders of seeds that an overwritten run had.

        A TensorBoard that is open keeps asking for the file it read last, and where that is gone it never looks at the
        next one. So the newest old file is emptied now, and removed at the next start.
        """
        while self._old:
            file = self._old.pop()
            if _generation(file) == self._generation - 1:
                os.truncate(file, 0)
                continue
            file.unlink()
            with contextlib.suppress(OSError):  # Not empty: the series goes on, or somebody keeps a file there.
                file.parent.rmdir()


def _import_writer() -> Any:
    """Return the class that writes records of an event file, synchronously and to a path of our choice.

    ``SummaryWriter`` would run two threads for each series, flush when it likes, and name its files by the second, so
    that a quick resume overwrites a file.
    """
    try:
        from tensorboardX import RecordWriter
    except ModuleNotFoundError as error:
        if error.name == "tensorboardX":
            raise MissingDependency("tensorboardX", "tensorboard", "export to TensorBoard") from error
        raise
    return RecordWriter


def _first_events(started: float) -> list[bytes]:
    """The version, without which readers guess; then the restart that makes them drop every point they have."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    return [
        Event(wall_time=started, file_version="brain.Event:2").SerializeToString(),
        Event(wall_time=started, step=0, session_log=SessionLog(status=SessionLog.START)).SerializeToString(),
    ]


def _event(started: float, moment: LogPoint, values: Mapping[str, float]) -> bytes:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    event = Event(wall_time=started + moment.wall_seconds, step=moment.env_steps, summary=Summary(value=scalars))
    data: bytes = event.SerializeToString()
    return data


def _generation(file: Path) -> int:
    match = _FILE.fullmatch(file.name)
    return int(match[1]) if match else 0


def _started(directory: RunDirectory) -> float:
    """When the run began, in seconds since the epoch."""
    text = directory.config.get("started")
    try:
        return datetime.datetime.fromisoformat(text or "").timestamp()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{directory.path / 'config.json'}: started is {text!r}, expected a time such as 2026-01-31T12:00:00+00:00"
        ) from error
