"""TensorBoard event files of a run directory."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.dashboards.base import Dashboard, check_links
from surefoot.dashboards.points import LogPoint
from surefoot.errors import MissingDependency, UserError
from surefoot.runs import RunDirectory
from surefoot.text import shell_command

_FILE = re.compile(r"events\.out\.tfevents\.(\d{10})\.surefoot")


class TensorBoard(Dashboard):
    """Writes RUN/tensorboard/, with a folder for each seed and one for their mean: ``tensorboard --logdir RUN``.

    TensorBoard draws one chart per metric and one line per folder, so this layout puts all seeds of a metric into one
    chart, with their mean and the seeds of any other run under the same ``--logdir``.

    Every start (of a run, a resumed run, a sync) writes new files from the first row on and then empties the old ones.
    The new ones start with a restart event at step 0, at which an open TensorBoard discards its points.
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
        self._start_time = 0.0
        self._generation = 0
        self._old: list[Path] = []
        self._writers: dict[str, Any] = {}

    def _start(self, directory: RunDirectory) -> None:
        self._folder = directory.path / "tensorboard"
        check_links(self._folder, *self._folder.glob("*"), *self._folder.glob("*/*"))
        self._start_time = _start_time(directory)
        self._old = [file for file in self._folder.glob("*/*") if _FILE.fullmatch(file.name)]
        # TensorBoard reads a folder's files in order of their names.
        self._generation = 1 + max((_generation(file) for file in self._old), default=0)
        self._writers = {}

    def _write(self, points: Sequence[LogPoint]) -> int:
        for point in points:
            for series, values in point.series.items():
                if values:
                    self._writer(series).write(_event(self._start_time, point, values))
        for writer in self._writers.values() if points else ():
            writer.flush()
        self._retire_old()
        return len(points)

    def _stop(self, *, success: bool) -> None:
        while self._writers:
            self._writers.popitem()[1].close()

    def _viewer(self) -> str:
        return shell_command("tensorboard", "--logdir", self._folder)

    def _writer(self, series: str) -> Any:
        if series not in self._writers:
            folder = self._folder / series
            folder.mkdir(parents=True, exist_ok=True)
            writer = _import_writer()(str(folder / f"events.out.tfevents.{self._generation:010}.surefoot"))
            self._writers[series] = writer
            for event in _first_events(self._start_time):
                writer.write(event)
        return self._writers[series]

    def _retire_old(self) -> None:
        """Remove the files that the new ones replace, and then empty folders of an overwritten run's seeds.

        An open TensorBoard keeps polling the file it read last, and never proceeds to the next one if that is gone. So
        the newest old file is emptied now, and removed at the next start.
        """
        while self._old:
            file = self._old.pop()
            if _generation(file) == self._generation - 1:
                os.truncate(file, 0)
                continue
            file.unlink()
            with contextlib.suppress(OSError):  # not empty
                file.parent.rmdir()


def _import_writer() -> Any:
    """Return the class that writes an event file synchronously, to a given path.

    ``SummaryWriter`` runs two threads per series and names its files by the second, so that a quick resume overwrites a
    file.
    """
    try:
        from tensorboardX import RecordWriter
    except ModuleNotFoundError as error:
        if error.name == "tensorboardX":
            raise MissingDependency("tensorboardX", "tensorboard", "writing to TensorBoard") from error
        raise
    return RecordWriter


def _first_events(start_time: float) -> list[bytes]:
    """Return the file version, and the restart event at which readers drop their points."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    return [
        Event(wall_time=start_time, file_version="brain.Event:2").SerializeToString(),
        Event(wall_time=start_time, step=0, session_log=SessionLog(status=SessionLog.START)).SerializeToString(),
    ]


def _event(start_time: float, point: LogPoint, values: Mapping[str, float]) -> bytes:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    event = Event(wall_time=start_time + point.wall_seconds, step=point.env_steps, summary=Summary(value=scalars))
    data: bytes = event.SerializeToString()
    return data


def _generation(file: Path) -> int:
    match = _FILE.fullmatch(file.name)
    return int(match[1]) if match else 0


def _start_time(directory: RunDirectory) -> float:
    """Return the start of the run in seconds since the epoch."""
    text = directory.config.get("started")
    try:
        return datetime.datetime.fromisoformat(text or "").timestamp()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{directory.path / 'config.json'}: started is {text!r}, expected a time such as 2026-01-31T12:00:00+00:00"
        ) from error
