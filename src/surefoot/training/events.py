"""What a run tells whoever watches it: a display, a logger, a user's callback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class RunStarted:
    """A run begins or resumes."""

    path: Path
    task: str
    algorithm: str
    utd: int
    seeds: tuple[int, ...]
    env_steps: int
    start_env_steps: int
    """0 for a new run, the checkpoint's env_steps for a resumed one."""
    device: str
    """For a person: "NVIDIA H100 80GB HBM3 (gpu:0)" or "CPU, 2 cores"."""
    replay_bytes: int
    env_workers: int


@dataclass(frozen=True)
class Progress:
    """Where the run stands; sent a few times per second. Speeds count all seeds together."""

    env_steps: int
    agent_steps: int
    grad_steps: int
    env_steps_per_second: float
    grad_steps_per_second: float
    seconds_left: float | None
    episode_returns: tuple[float | None, ...]
    """Per seed: return of the last finished training episode."""


@dataclass(frozen=True)
class EvaluationDone:
    """One evaluation of all seeds."""

    env_steps: int
    seeds: tuple[int, ...]
    returns: tuple[float, ...]
    """Per seed: mean undiscounted return over the evaluation episodes."""
    successes: tuple[float, ...] | None
    """Per seed: share of episodes solved at any step, where the task defines success."""
    wall_seconds: float
    """Since the run began, resumed parts added up."""


@dataclass(frozen=True)
class RunFinished:
    """A run reached its last step, or was stopped by a signal after a checkpoint."""

    path: Path
    env_steps: int
    completed: bool
    wall_seconds: float
    final: EvaluationDone | None
    random_return: float
    """Mean return over the warm-up's uniform random episodes: the bar any policy must clear. NaN if none finished."""


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint, and the policy as it was then, are on disk."""

    path: Path
    """The run directory."""
    env_steps: int


class Observer(Protocol):
    """Anything that watches a run. Methods must return quickly; what they raise ends the run."""

    def on_start(self, event: RunStarted) -> None:
        """The run begins."""

    def on_progress(self, event: Progress) -> None:
        """A few times per second."""

    def on_evaluation(self, event: EvaluationDone) -> None:
        """After every evaluation."""

    def on_message(self, text: str) -> None:
        """One line a person should see, such as a checkpoint that was skipped as corrupt."""

    def on_finish(self, event: RunFinished) -> None:
        """The run is over."""
