"""Scores and diagnostics of run directories."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from surefoot.errors import UserError
from surefoot.runs import read_diagnostics, read_evaluations, read_training
from surefoot.runs.layout import CONFIG, read_config
from surefoot.runs.progress import FoundRun, RunReader, RunState, find_runs
from surefoot.runs.untrusted import open_regular, quoted, read_errors, why_missing
from surefoot.text import shell_path
from surefoot.whole_numbers import as_ratio

SCORED_SUITES = ("dmc", "myosuite")
"""Suites with scores between 0 and 1, so that tasks may be averaged."""

_SEARCH_DEPTH = 5


@dataclass(frozen=True)
class Protocol:
    """Settings that must be equal for scores to be comparable.

    Attributes:
        action_repeat: Env steps per agent step.
        discount: Discount per agent step.
        episodes: Episodes per evaluation and seed.
    """

    action_repeat: int
    discount: float
    episodes: int

    def __str__(self) -> str:
        """Return the settings as text."""
        return f"action repeat {self.action_repeat}, discount {self.discount}, {self.episodes} episodes"


@dataclass(frozen=True)
class ReportRun:
    """One run directory.

    Attributes:
        path: Path as it was found.
        task: Name of the task.
        suite: The task's suite.
        algorithm: Description in config.json, including name and UTD, and the run's other settings that change what it
            learns, such as its precision.
        protocol: Protocol of training and evaluation.
        seeds: Training seeds, S of them.
        env_steps: Env steps of the evaluations [T].
        scores: Means over the episodes of an evaluation [S, T]; NaN where one is missing.
        solved_at_end: Shares of the episodes of an evaluation that were solved at their last step [S, T]; NaN where
            one is missing or no success was reported.
        wall_seconds: Wall-clock of the evaluations [T], in seconds.
        total_env_steps: Env steps of the finished run.
        state: State, as in ``surefoot watch``.
        devices: Device of its start, and of each resumed part.
        diagnostics: Columns of diagnostics.csv, or of training.csv where that is missing.
    """

    path: Path
    task: str
    suite: str
    algorithm: dict[str, Any]
    protocol: Protocol
    seeds: tuple[int, ...]
    env_steps: np.ndarray
    scores: np.ndarray
    solved_at_end: np.ndarray
    wall_seconds: np.ndarray
    total_env_steps: int
    state: RunState
    devices: tuple[str, ...]
    diagnostics: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        """Name of the algorithm."""
        return str(self.algorithm["name"])

    @property
    def utd(self) -> int | Fraction:
        """Gradient updates per agent step."""
        return as_ratio(self.algorithm["utd"])

    @property
    def finished(self) -> bool:
        """Whether it was evaluated at its last step."""
        return self.last_env_step is not None and self.last_env_step >= self.total_env_steps

    @property
    def last_env_step(self) -> int | None:
        """Env step of the last evaluation, None before the first."""
        return int(self.env_steps[-1]) if len(self.env_steps) else None

    @property
    def parameters(self) -> int | None:
        """Number of parameters of one seed's networks, None where it was not logged."""
        logged = self.diagnostics.get("parameters", np.zeros(0))
        return int(logged[-1]) if len(logged) and np.isfinite(logged[-1]) else None

    @property
    def elapsed_seconds(self) -> float:
        """Wall-clock up to the last evaluation, added up over resumes; 0 before the first."""
        return float(self.wall_seconds[-1]) if len(self.wall_seconds) else 0.0

    @property
    def env_steps_per_second(self) -> float:
        """Throughput of all seeds together over the whole run, including evaluations."""
        steps = len(self.seeds) * float(self.last_env_step or 0)
        return steps / self.elapsed_seconds if steps and self.elapsed_seconds else float("nan")


def load_runs(paths: Sequence[Path], leave_out: Callable[[str], None] | None = None) -> list[ReportRun]:
    """Read every run below the paths, each once.

    Args:
        paths: Run directories, or directories that contain some.
        leave_out: Called with one line for each run, folder or log that cannot be read; None makes that an error.

    Raises:
        UserError: A path is missing or contains no runs, or no run can be read.
    """
    found: dict[str, FoundRun] = {}
    for path in paths:
        below = sorted(find_runs(path, _SEARCH_DEPTH))
        if not below:
            what = "does not exist" if why_missing(path) == "is missing" else "contains no runs"
            raise UserError(f"{path} {what}: expected a run directory, or one that contains some")
        found |= {str(run.path) if run.problem else os.path.realpath(run.path): run for run in below}
    runs: list[ReportRun] = []
    first = ""
    for run, problem in found.values():
        try:
            if problem:
                raise UserError(problem)
            runs.append(_load(run, leave_out))
        except UserError as error:
            if leave_out is None or len(found) == 1:
                raise
            first = first or str(error)
            leave_out(str(error))
    if not runs:
        raise UserError(f"none of {len(found)} runs can be read: {first}")
    return runs


def shared_steps(every: Sequence[np.ndarray]) -> np.ndarray:
    """Return the env steps shared by all runs that had not ended by then.

    With runs measured at different intervals, a mean over a varying subset of them would oscillate.

    Args:
        every: Ascending env steps of each run, at least one.
    """
    steps = np.unique(np.concatenate(every))
    return steps[np.all([np.isin(steps, own) | (steps > own[-1]) for own in every], axis=0)]


def _load(path: Path, leave_out: Callable[[str], None] | None) -> ReportRun:
    config = read_config(path)
    try:
        resolved, algorithm = config["resolved"], {**config["algorithm"]}
        algorithm |= {"precision": config.get("precision") or "float32", "overlap": bool(config.get("overlap"))}
        algorithm |= {"warm_start": config.get("warm_start") or False}
        algorithm |= {
            "num_envs": int(config.get("num_envs", 1)),
            "replay_capacity": config.get("replay_capacity") or False,
        }
        algorithm |= {"engine": config.get("engine", "suite")}
        algorithm |= {name: config.get(name) for name in ("actor_keys", "critic_keys")}
        seeds = tuple(int(seed) for seed in config["seeds"])
        repeat = int(resolved["action_repeat"])
        protocol = Protocol(repeat, float(resolved["discount"]), int(config["evaluation_episodes"]))
        total = int(resolved["agent_steps"]) * repeat
        utd = as_ratio(algorithm["utd"])
        task, suite, name = str(config["task"]), str(config["suite"]), str(algorithm["name"])
        devices = tuple(map(_device, [config, *config.get("resumed", [])]))
        if repeat < 1 or not 0 < total < 2**63 or utd <= 0 or not seeds or len(set(seeds)) < len(seeds):
            raise ValueError("counts out of range")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path / CONFIG} is not a run's: {quoted(repr(error), 100)}") from error
    evaluated = _evaluations(path, {"task": task, "algorithm": name, "utd": float(utd)}, seeds)
    env_steps = evaluated.env_steps
    finished = bool(len(env_steps)) and int(env_steps[-1]) >= total
    return ReportRun(
        path=path,
        task=task,
        suite=suite,
        algorithm=algorithm,
        protocol=protocol,
        seeds=seeds,
        env_steps=env_steps,
        scores=evaluated.scores,
        solved_at_end=evaluated.solved_at_end,
        wall_seconds=evaluated.wall_seconds,
        total_env_steps=total,
        state=RunState.FINISHED if finished else RunReader(path).read().state,
        devices=devices,
        diagnostics=_diagnostics(path, leave_out),
    )


def _device(part: dict[str, Any]) -> str:
    """Return the device of a run's start, or of one of its resumed parts."""
    return str(part["machine"]["device"])


class _Evaluations(NamedTuple):
    """Evaluations of one run, as `ReportRun` has them."""

    env_steps: np.ndarray
    scores: np.ndarray
    solved_at_end: np.ndarray
    wall_seconds: np.ndarray


def _evaluations(path: Path, about: dict[str, Any], seeds: tuple[int, ...]) -> _Evaluations:
    """Return the evaluations of a run; T is 0 before the first."""
    file = path / "evaluations.csv"
    if not os.path.lexists(file):  # written soon after config.json
        none = np.zeros((len(seeds), 0))
        return _Evaluations(np.zeros(0, np.int64), none, none, np.zeros(0))
    log = read_evaluations(path)
    if _is_truncated(file) and RunReader(path).read().state is not RunState.RUNNING:
        raise UserError(
            f"{file} is truncated: its last row is incomplete, and no process is writing it; `surefoot resume "
            f"{shell_path(path)}` continues from the last checkpoint"
        )
    for column, expected in about.items():
        if others := set(log[column].tolist()) - {expected}:
            raise UserError(
                f"{file} mixes runs: {column} {quoted(repr(min(others)), 100)}, where {CONFIG} has "
                f"{quoted(repr(expected), 100)}"
            )
    if others := set(log["seed"].tolist()) - set(seeds):
        expected = quoted(", ".join(map(str, seeds)), 100)
        raise UserError(f"{file} mixes runs: seed {min(others)}, where {CONFIG} has {expected}")
    keys = np.stack([log[name] for name in ("seed", "env_steps", "episode")])
    ordered = keys[:, np.lexsort(keys)]
    if (ordered[:, 1:] == ordered[:, :-1]).all(axis=0).any():
        raise UserError(f"{file} contains an episode of a seed and env step twice")
    return _by_seed(log, seeds)


def _is_truncated(file: Path) -> bool:
    """Return whether the last row is incomplete, as it is for a moment while it is written."""
    with read_errors(file), open_regular(file) as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"


def _by_seed(log: dict[str, np.ndarray], seeds: tuple[int, ...]) -> _Evaluations:
    """Return the means over the episodes of each evaluation."""
    steps, at = np.unique(log["env_steps"], return_inverse=True)
    shape = (len(seeds), len(steps))
    counts, wall = np.zeros(shape), np.zeros(len(steps))
    order = np.argsort(seeds)
    row = order[np.searchsorted(np.array(seeds)[order], log["seed"])]
    np.add.at(counts, (row, at), 1)
    np.maximum.at(wall, at, log["wall_seconds"])

    def means(column: str) -> np.ndarray:
        totals = np.zeros(shape)
        np.add.at(totals, (row, at), log[column])
        found = np.divide(totals, counts, out=np.full(shape, np.nan), where=counts > 0)
        found[np.isinf(found)] = np.nan
        return found

    scores, solved = means("score"), means("success_last")
    solved[np.isnan(scores)] = np.nan  # a diverged seed does nothing, which some tasks count as solved
    return _Evaluations(steps, scores, solved, wall)


def _diagnostics(path: Path, leave_out: Callable[[str], None] | None) -> dict[str, np.ndarray]:
    for name, read in (("diagnostics.csv", read_diagnostics), ("training.csv", read_training)):
        if os.path.lexists(path / name):
            try:
                log = read(path)
                if missing := {"seed", "env_steps"} - log.keys():
                    raise UserError(f"{path / name} has no column {min(missing)!r}: expected a run's {name}")
            except UserError as error:
                if leave_out is None:
                    raise
                leave_out(str(error))
                continue
            if len(log["seed"]):
                return log
    return {}
