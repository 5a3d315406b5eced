"""How far runs are and how well they do, read from their files alone while they go on.

Made for looking at many runs every few seconds: a log is read from where the last look ended, and a file that did not
change is not opened. Nothing is written, and no run is held up, but for the instant in which its lock is tried.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from surefoot.errors import UserError, suggest
from surefoot.runs.checkpoints import CHECKPOINT_NAME
from surefoot.runs.curve import Evaluations, EvaluationSummary
from surefoot.runs.layout import CONFIG, LOCK, read_config
from surefoot.runs.lock import is_held
from surefoot.runs.tail import Signature, TableTail, signature
from surefoot.runs.untrusted import quoted

SEARCH_DEPTH = 3
"""How many folders below a given one runs are looked for: deep enough for results/ALGORITHM/TASK seen from above."""

_SPEED_INTERVALS = 10
"""Logging intervals over which speeds are taken: enough to even out an evaluation, few enough to follow a change."""


class RunState(enum.StrEnum):
    """What can be said of a run from outside."""

    RUNNING = "running"
    """A process holds its lock."""
    FINISHED = "finished"
    """It reached its last step."""
    STOPPED = "stopped"
    """It ended earlier, in good order as far as its files tell: resuming loses nothing."""
    FAILED = "failed"
    """It ended earlier and logged rows that its newest checkpoint does not cover: it was killed, or something broke."""
    UNREADABLE = "unreadable"
    """Its files cannot be read; see ``RunProgress.problem``."""


@dataclass(frozen=True)
class RunProgress:
    """One run at one moment.

    Attributes:
        path: the run directory.
        state: what the run does.
        problem: why it cannot be read, in one line; None where it can.
        task: the task's name.
        algorithm: the algorithm's name.
        seeds: its training seeds.
        env_steps: simulator control steps per seed that its logs tell of.
        total_env_steps: the same when it is done.
        evaluations: in order of env_steps.
        env_steps_per_second: lately, all seeds together; None where too little is logged.
        grad_steps_per_second: the same in gradient updates; 0 during the warm-up.
        seconds_left: until the last step at that speed; None where the run does not go on, or is in its warm-up.
        wall_seconds: it ran so far, resumed parts added up.
        changed: when its logs last grew, in seconds since the epoch.
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


class RunsReader:
    """Runs, and directories in which runs may appear.

    Args:
        paths: run directories, or directories that hold some up to ``SEARCH_DEPTH`` folders down.

    Raises:
        UserError: a path is missing, or is no run and holds none.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._readers: dict[Path, RunReader] = {}
        for path in self._paths:
            if not any(find_runs(path)):
                raise UserError(_no_run(path))

    def read(self) -> list[RunProgress]:
        """Return every run there is now, each once, in the order of the paths and by name below each."""
        found = dict.fromkeys(run for path in self._paths for run in sorted(find_runs(path)))
        self._readers = {path: self._readers.get(path) or RunReader(path) for path in found}
        return [reader.read() for reader in self._readers.values()]


class RunReader:
    """One run, looked at again and again.

    Args:
        path: its directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._config: _Config | None = None
        self._config_signature: Signature | None = None
        self._evaluations = Evaluations(path / "evaluations.csv")
        self._training = TableTail(path / "training.csv", ("env_steps", "grad_steps", "wall_seconds"))

    def read(self) -> RunProgress:
        """Return how the run stands now. What cannot be read makes the run unreadable, and raises nothing."""
        try:
            return self._read()
        except UserError as error:
            return RunProgress(self._path, RunState.UNREADABLE, problem=quoted(str(error), 500))

    def _read(self) -> RunProgress:
        running = is_locked(self._path)  # before the logs: a run that ends in between is then still told as running
        config = self._read_config()
        evaluations = self._evaluations.read(config.seeds)
        intervals = self._training.read(64 * 1024 + 4096 * len(config.seeds))
        logged = int(intervals[-1][0]) if intervals else 0
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
            # The warm-up's speed says nothing about what comes after it.
            seconds_left=left / env_rate if running and env_rate and grad_rate else None,
            wall_seconds=max(intervals[-1][2] if intervals else 0.0, self._evaluations.wall_seconds),
            changed=max(self._training.changed, self._evaluations.changed),
        )

    def _read_config(self) -> _Config:
        now = signature(self._path / CONFIG)
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


def find_runs(path: Path, depth: int = SEARCH_DEPTH) -> Iterator[Path]:
    """Yield the path where it is a run, otherwise every run below it, at most ``depth`` folders down.

    Hidden folders and links are passed over, and so is what may not be read.
    """
    # A config.json alone may be anybody's.
    if (path / CONFIG).is_file() and ((path / LOCK).exists() or (path / "evaluations.csv").exists()):
        yield path
        return
    if depth == 0:
        return
    try:
        with os.scandir(path) as entries:
            folders = [e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in folders:
        yield from find_runs(path / name, depth - 1)


def is_locked(path: Path) -> bool:
    """Say whether a process trains in a run directory."""
    return is_held(path / LOCK)


@dataclass(frozen=True)
class _Config:
    """What is shown of config.json."""

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
            raise ValueError("more than a counter holds")
        return _Config(
            task=str(config["task"]),
            algorithm=str(config["algorithm"]["name"]),
            seeds=tuple(int(seed) for seed in config["seeds"]),
            total_env_steps=total_env_steps,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / CONFIG} lacks what a run's has: task, algorithm, seeds, resolved") from error


def _speeds(intervals: Sequence[tuple[float, ...]], num_seeds: int) -> tuple[float | None, float | None]:
    """Return env steps and updates per second over the last intervals, all seeds together.

    By the wall clock, evaluations and checkpoints included: that is what the time left depends on.
    """
    lately = intervals[-_SPEED_INTERVALS - 1 :]
    if lately and lately[-1][1] > 0:
        lately = [interval for interval in lately if interval[1] > 0]  # without the warm-up
    if len(lately) < 2 or (seconds := lately[-1][2] - lately[0][2]) <= 0:
        return None, None
    env_steps, grad_steps = (lately[-1][column] - lately[0][column] for column in (0, 1))
    return env_steps * num_seeds / seconds, grad_steps * num_seeds / seconds


def _newest_checkpoint(path: Path) -> int | None:
    try:
        names = os.listdir(path / "checkpoints")
    except OSError:
        return None  # such as a copy of a run that left its checkpoints out
    steps = [int(match[1]) for name in names if (match := CHECKPOINT_NAME.fullmatch(name))]
    return max(steps, default=None)


def _no_run(path: Path) -> str:
    expected = "expected a run directory made by `surefoot train`, or a directory that holds some"
    if path.is_dir():
        return f"{path} holds no runs: {expected}"
    if path.exists():
        return f"{path} is a file: {expected}"
    try:
        beside = os.listdir(path.parent)
    except OSError:
        beside = []
    return f"{path} does not exist: {expected}{suggest(path.name, beside)}"
