"""What a run tells whoever watches it: a display, a logger, a user's callback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class RunStarted:
    """A run begins or resumes.

    Attributes:
        path: the run directory.
        task: the task's name.
        algorithm: the algorithm's name.
        utd: gradient updates per agent step once the warm-up is over.
        seeds: the training seeds, S of them.
        env_steps: simulator control steps per seed when the run is done.
        start_env_steps: 0 for a new run, the checkpoint's env_steps for a resumed one.
        device: for a person: "NVIDIA H100 80GB HBM3 (gpu:0)" or "CPU, 2 cores".
        replay_bytes: what the replay buffers of all seeds occupy on the device.
        env_workers: processes that step environments; 0 for this one.
        precision: Precision of matrix products in updates.
        beside_every: env_steps between evaluations where these are played beside training, so that rows of training.csv
            come before those of an evaluation at an earlier step; None where training waits for them.
    """

    path: Path
    task: str
    algorithm: str
    utd: int
    seeds: tuple[int, ...]
    env_steps: int
    start_env_steps: int
    device: str
    replay_bytes: int
    env_workers: int
    precision: str = "float32"
    beside_every: int | None = None


@dataclass(frozen=True)
class Progress:
    """Where the run stands; sent a few times per second. Counters are per seed, speeds count all seeds together.

    Attributes:
        env_steps: simulator control steps so far, action repeats included.
        agent_steps: decisions so far.
        grad_steps: critic updates so far.
        env_steps_per_second: since the last time.
        grad_steps_per_second: since the last time; 0 during the warm-up.
        seconds_left: at that speed; None during the warm-up, whose speed says nothing about what comes after it.
        episode_returns: per seed, the return of the last finished training episode; None before the first.
    """

    env_steps: int
    agent_steps: int
    grad_steps: int
    env_steps_per_second: float
    grad_steps_per_second: float
    seconds_left: float | None
    episode_returns: tuple[float | None, ...]


@dataclass(frozen=True)
class EvaluationDone:
    """One evaluation of all seeds.

    Attributes:
        env_steps: simulator control steps per seed when it began.
        seeds: the training seeds.
        returns: per seed, the mean undiscounted return over the evaluation episodes; NaN for one that diverged.
        successes: per seed, the share of episodes solved at any step, where the task defines success.
        wall_seconds: since the run began, resumed parts added up.
    """

    env_steps: int
    seeds: tuple[int, ...]
    returns: tuple[float, ...]
    successes: tuple[float, ...] | None
    wall_seconds: float


@dataclass(frozen=True)
class RunFinished:
    """A run reached its last step, or was stopped after a checkpoint by a signal or a callback.

    Attributes:
        path: the run directory.
        env_steps: simulator control steps per seed that were made.
        completed: whether it reached its last step.
        wall_seconds: since the run began, resumed parts added up.
        final: the last evaluation; None where the run was stopped.
        random_return: mean return over the warm-up's uniform random episodes, the bar any policy must clear; NaN if
            none finished.
    """

    path: Path
    env_steps: int
    completed: bool
    wall_seconds: float
    final: EvaluationDone | None
    random_return: float


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint, and the policy as it was then, are on disk.

    Attributes:
        path: the run directory.
        env_steps: simulator control steps per seed that it holds.
    """

    path: Path
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
