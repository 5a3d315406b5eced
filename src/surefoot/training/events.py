"""Events of a run, and the observer that receives them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from surefoot.engine import Engine
from surefoot.streams import show
from surefoot.text import printable


@dataclass(frozen=True)
class RunStarted:
    """A run starts or resumes.

    Attributes:
        path: Run directory.
        task: Name of the task.
        algorithm: Name of the algorithm.
        utd: Gradient updates per agent step after the warm-up.
        seeds: Training seeds, S of them.
        env_steps: Simulator control steps per seed of the whole run.
        start_env_steps: 0 for a new run, the env steps of the checkpoint for a resumed one.
        device: Description, such as "NVIDIA H100 80GB HBM3 (gpu:0)" or "CPU, 2 cores".
        replay_bytes: Size of all replay buffers on the device.
        env_workers: Processes that step the environments; 0 for this process.
        precision: Precision of matrix products in updates.
        task_argument: Value of ``--task`` in commands about the run; None if they need none, empty if only Python can
            name the task.
        num_envs: N, environments per seed.
        engine: What steps the environments.
    """

    path: Path
    task: str
    algorithm: str
    utd: int | Fraction
    seeds: tuple[int, ...]
    env_steps: int
    start_env_steps: int
    device: str
    replay_bytes: int
    env_workers: int
    precision: str = "float32"
    task_argument: str | None = None
    num_envs: int = 1
    engine: Engine = "suite"


@dataclass(frozen=True)
class Progress:
    """Progress of a run, a few times per second. Counters are per seed; speeds are totals over seeds.

    Attributes:
        env_steps: Simulator control steps so far, action repeats included.
        agent_steps: Decisions so far.
        grad_steps: Critic updates so far.
        env_steps_per_second: Speed since the previous event.
        grad_steps_per_second: Speed since the previous event; 0 during the warm-up.
        seconds_left: Estimate from that speed; None during the warm-up, which is faster than training.
        episode_returns: Return of each seed's last finished training episode, with several environments the mean of
            theirs; None before the first.
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
        env_steps: Simulator control steps per seed of the evaluated policies.
        seeds: Training seeds.
        returns: Mean undiscounted return of each seed; NaN for a seed that diverged.
        successes: Share of episodes of each seed solved at any step; None where the environment reports no success.
        wall_seconds: Seconds of training so far, resumed parts included.
        last_successes: Share of episodes of each seed solved at their last step; None likewise.
    """

    env_steps: int
    seeds: tuple[int, ...]
    returns: tuple[float, ...]
    successes: tuple[float, ...] | None
    wall_seconds: float
    last_successes: tuple[float, ...] | None = None


@dataclass(frozen=True)
class RunFinished:
    """A run reached its last step, or was stopped after a checkpoint by a signal or a callback.

    Attributes:
        path: Run directory.
        env_steps: Simulator control steps per seed done.
        completed: Whether the run reached its last step.
        wall_seconds: Seconds of training so far, resumed parts included.
        final: Last evaluation; None where the run was stopped.
        random_return: Mean return of the warm-up's episodes with uniform random actions; NaN if none finished.
    """

    path: Path
    env_steps: int
    completed: bool
    wall_seconds: float
    final: EvaluationDone | None
    random_return: float


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint and its policy have been written.

    Attributes:
        path: Run directory.
        env_steps: Simulator control steps per seed of the checkpoint.
    """

    path: Path
    env_steps: int


class Observer:
    """Prints one line at the start, for every evaluation and message, and at the end; override it for other displays.

    Methods must return quickly. Output cannot end a run: after an OSError, an error of encoding or a write to a closed
    file, the run continues without the observer, with one line on standard error. Other exceptions end the run.
    """

    def on_start(self, event: RunStarted) -> None:
        """A run starts or resumes."""
        seeds = f"{len(event.seeds)} seed{'s' * (len(event.seeds) > 1)}"
        if event.num_envs > 1:
            seeds += f" of {event.num_envs:,} environments"
        show(
            f"{event.task}, {event.algorithm}, UTD {event.utd}, {seeds}, env steps "
            f"{event.start_env_steps:,} to {event.env_steps:,}, {event.precision} on {event.device}, "
            f"in {printable(event.path)}"
        )

    def on_progress(self, event: Progress) -> None:
        """A few times per second."""

    def on_evaluation(self, event: EvaluationDone) -> None:
        """After every evaluation."""
        returns = " ".join(f"{value:.1f}" for value in event.returns)
        solved = "" if event.successes is None else " solved " + " ".join(f"{v:.0%}" for v in event.successes)
        if event.last_successes not in (None, event.successes):
            solved += ", at the end " + " ".join(f"{v:.0%}" for v in event.last_successes)
        show(f"env steps {event.env_steps:,}: return {returns}{solved} ({event.wall_seconds:.0f} s)")

    def on_message(self, text: str) -> None:
        """One line for the user, such as a checkpoint that was skipped as corrupt."""
        show(text)

    def on_finish(self, event: RunFinished) -> None:
        """The run reached its last step, or was stopped after a checkpoint."""
        show(f"{'finished' if event.completed else 'stopped'} at env step {event.env_steps:,}")
