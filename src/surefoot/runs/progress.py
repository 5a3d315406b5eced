"""Progress and scores of runs, read from their files while they train.

Many runs can be polled every few seconds: logs are read incrementally and unchanged files are not opened. Nothing is
written, and a run's lock is only tried for an instant.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from surefoot.errors import UserError, suggest
from surefoot.runs.checkpoints import CHECKPOINT_NAME
from surefoot.runs.csvread import LogTail, Signature, file_signature
from surefoot.runs.curve import EvaluationCurve, EvaluationSummary
from surefoot.runs.layout import CONFIG, LOCK, read_config
from surefoot.runs.lock import is_held
from surefoot.runs.untrusted import quoted, why_missing

SEARCH_DEPTH = 3
"""Depth of the search for runs: enough for results/NAME/RUN from the folder above."""

_SPEED_INTERVALS = 10
"""Logging intervals over which speeds are averaged."""


class RunState(enum.StrEnum):
    """State of a run, as its files show it."""

    RUNNING = "running"
    """A process holds its lock."""
    FINISHED = "finished"
    """It reached its last step."""
    STOPPED = "stopped"
    """It ended earlier, with a checkpoint of its last step: resuming loses nothing."""
    FAILED = "failed"
    """It was killed or failed: it logged rows after its newest checkpoint."""
    UNREADABLE = "unreadable"
    """Its files cannot be read; see ``RunProgress.problem``."""


@dataclass(frozen=True)
class RunProgress:
    """Progress of a run.

    Attributes:
        path: Run directory.
        state: State of the run.
        problem: Reason why it cannot be read, in one line; None if it can.
        task: Name of the task.
        algorithm: Name of the algorithm.
        seeds: Training seeds, one per agent.
        env_steps: Simulator control steps per seed in its logs.
        total_env_steps: Simulator control steps per seed at its end.
        evaluations: Evaluations in order of env_steps.
        env_steps_per_second: Recent rate of all seeds; None before enough is logged.
        grad_steps_per_second: Recent rate of gradient updates of all seeds; 0 during the warm-up.
        seconds_left: Estimated time until its end; None if it is not running, or in its warm-up.
        wall_seconds: Training time so far, resumed parts included.
        changed: Time of the last write to its logs, in seconds since the epoch.
    """

    path: Path
    state: RunState
    problem: str | None = None
    task: str = ""
    algorithm: str = ""
    seeds: tuple[int, ...] = ()
    env_steps: int = 0
    total_env_steps: int = 0
    evaluations: tuple[EvaluationSummary, ...] = ()
    env_steps_per_second: float | None = None
    grad_steps_per_second: float | None = None
    seconds_left: float | None = None
    wall_seconds: float = 0.0
    changed: float = 0.0


class _Interval(NamedTuple):
    """The end of a logging interval, in counts per seed."""

    env_steps: int
    grad_steps: int
    wall_seconds: float


class RunsReader:
    """Incremental reader of runs, and of directories in which runs may appear.

    Args:
        paths: Run directories, or directories with runs at most ``SEARCH_DEPTH`` folders down.

    Raises:
        UserError: A path is missing, or is not a run and holds none; or nothing can be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._readers: dict[Path, RunReader] = {}
        found = [list(find_runs(path)) for path in self._paths]
        for path, below in zip(self._paths, found, strict=True):
            if not below:
                raise UserError(_no_run(path))
        if all(run.problem for below in found for run in below):
            raise UserError(found[0][0].problem or "")

    def read(self) -> list[RunProgress]:
        """Return every run once, in the order of the paths and by name below each.

        A folder that cannot be searched for runs is one with the state UNREADABLE.
        """
        found = dict.fromkeys(run for path in self._paths for run in sorted(find_runs(path)))
        known, self._readers = self._readers, {}
        progress = []
        for path, problem in found:
            if problem:
                progress.append(RunProgress(path, RunState.UNREADABLE, problem=quoted(problem, 500)))
            else:
                self._readers[path] = known.get(path) or RunReader(path)
                progress.append(self._readers[path].read())
        return progress


class RunReader:
    """Incremental reader of one run.

    Args:
        path: Run directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._config: _Config | None = None
        self._config_signature: Signature | None = None
        self._evaluations = EvaluationCurve(path / "evaluations.csv")
        self._training = LogTail(path / "training.csv", ("env_steps", "grad_steps", "wall_seconds"))
        self._intervals: dict[int, _Interval] = {}

    def read(self) -> RunProgress:
        """Return the current progress; a run whose files cannot be read has the state UNREADABLE."""
        try:
            return self._read()
        except UserError as error:
            return RunProgress(self._path, RunState.UNREADABLE, problem=quoted(str(error), 500))

    def _read(self) -> RunProgress:
        running = is_locked(self._path)  # before the logs: a run that ends in between still counts as running
        config = self._read_config()
        evaluations = self._evaluations.read(config.seeds)
        intervals = self._read_intervals(len(config.seeds))
        logged = intervals[-1].env_steps if intervals else 0
        env_steps = max(logged, evaluations[-1].env_steps if evaluations else 0)
        env_rate, grad_rate = _speeds(intervals, len(config.seeds))
        left = (config.total_env_steps - env_steps) * len(config.seeds)
        return RunProgress(
            path=self._path,
            state=self._state(running, env_steps, config.total_env_steps, evaluations),
            task=config.task,
            algorithm=config.algorithm,
            seeds=config.seeds,
            env_steps=env_steps,
            total_env_steps=config.total_env_steps,
            evaluations=evaluations,
            env_steps_per_second=env_rate,
            grad_steps_per_second=grad_rate,
            # The speed of the warm-up does not predict that of the updates.
            seconds_left=left / env_rate if running and env_rate and grad_rate else None,
            wall_seconds=max(intervals[-1].wall_seconds if intervals else 0.0, self._evaluations.wall_seconds),
            changed=max(self._training.changed, self._evaluations.changed),
        )

    def _read_intervals(self, num_seeds: int) -> list[_Interval]:
        """Return the last logging intervals; the log of a long run is only read near its end."""
        new = self._training.read(64 * 1024 + 4096 * num_seeds)
        if new.restarted:
            self._intervals.clear()
        for row in new.rows:
            interval = _Interval(int(row["env_steps"]), int(row["grad_steps"]), row["wall_seconds"])
            self._intervals[interval.env_steps] = interval  # one row per seed
        for env_steps in list(self._intervals)[: -_SPEED_INTERVALS - 1]:
            del self._intervals[env_steps]
        return list(self._intervals.values())

    def _read_config(self) -> _Config:
        now = file_signature(self._path / CONFIG)
        if self._config is None or now != self._config_signature:
            self._config, self._config_signature = _parse_config(self._path), now
        return self._config

    def _state(self, running: bool, env_steps: int, total: int, evaluations: tuple[EvaluationSummary, ...]) -> RunState:
        if running:
            return RunState.RUNNING
        checkpoint = _newest_checkpoint(self._path)
        if checkpoint is not None and checkpoint < env_steps:
            return RunState.FAILED
        return RunState.FINISHED if evaluations and evaluations[-1].env_steps >= total else RunState.STOPPED


class FoundRun(NamedTuple):
    """A run, or a folder that may hold some and cannot be read."""

    path: Path
    problem: str = ""
    """Why the folder cannot be read, in one line; empty for a run, which may have problems of its own."""


def find_runs(path: Path, depth: int = SEARCH_DEPTH) -> Iterator[FoundRun]:
    """Yield the path if it is a run, otherwise every run and unreadable folder at most ``depth`` folders down.

    Hidden folders, links and folders that vanish during the search are skipped.
    """
    try:
        if _is_run(path):
            yield FoundRun(path)
            return
        folders = _folders(path) if depth > 0 else []
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        yield FoundRun(path, f"cannot read {path}: {reason}")
        return
    for name in folders:
        yield from find_runs(path / name, depth - 1)


def _is_run(path: Path) -> bool:
    """Return whether a folder is a run, whose config.json may be damaged; one alone may be another program's."""
    try:
        os.lstat(path / CONFIG)
    except FileNotFoundError:
        return False
    return any(os.path.lexists(path / name) for name in (LOCK, "evaluations.csv"))


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry in entries if not entry.name.startswith(".") and _may_be_folder(entry)]


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # a stale one on a file system that does not list types; the search below it names the reason
        return True


def is_locked(path: Path) -> bool:
    """Return whether a process trains in a run directory."""
    return is_held(path / LOCK)


@dataclass(frozen=True)
class _Config:
    """Entries of config.json that are displayed."""

    task: str
    algorithm: str
    seeds: tuple[int, ...]
    total_env_steps: int


def _parse_config(path: Path) -> _Config:
    config = read_config(path)
    try:
        resolved = config["resolved"]
        total_env_steps = int(resolved["agent_steps"]) * int(resolved["action_repeat"])
        if total_env_steps >= 2**63:
            raise ValueError("more steps than an int64 holds")
        return _Config(
            task=str(config["task"]),
            algorithm=str(config["algorithm"]["name"]),
            seeds=tuple(int(seed) for seed in config["seeds"]),
            total_env_steps=total_env_steps,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path / CONFIG} lacks an entry or has a wrong one: expected task, algorithm, seeds and resolved"
        ) from error


def _speeds(intervals: Sequence[_Interval], num_seeds: int) -> tuple[float | None, float | None]:
    """Return env steps and updates per second over the last intervals, of all seeds.

    On the wall clock, evaluations and checkpoints included, as the remaining time depends on it.
    """
    if intervals and intervals[-1].grad_steps > 0:
        intervals = [interval for interval in intervals if interval.grad_steps > 0]  # without the warm-up
    if len(intervals) < 2 or (seconds := intervals[-1].wall_seconds - intervals[0].wall_seconds) <= 0:
        return None, None
    first, last = intervals[0], intervals[-1]
    env_steps, grad_steps = last.env_steps - first.env_steps, last.grad_steps - first.grad_steps
    return env_steps * num_seeds / seconds, grad_steps * num_seeds / seconds


def _newest_checkpoint(path: Path) -> int | None:
    try:
        names = os.listdir(path / "checkpoints")
    except OSError:
        return None  # a copy of a run without its checkpoints
    steps = [int(match[1]) for name in names if (match := CHECKPOINT_NAME.fullmatch(name))]
    return max(steps, default=None)


def _no_run(path: Path) -> str:
    expected = "expected a run directory made by `surefoot train`, or a directory with some"
    if (found := why_missing(path)) == "is a folder":
        return f"{path} holds no runs: {expected}"
    if found != "is missing":
        return f"{path} {found}: {expected}"
    try:
        siblings = os.listdir(path.parent)
    except OSError:
        siblings = []
    return f"{path} does not exist: {expected}{suggest(path.name, siblings)}"
