"""What a person sees while a run goes on: a live panel on a terminal, one line per evaluation anywhere else."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from surefoot.training.events import EvaluationDone, Progress, RunFinished, RunStarted


class PlainDisplay:
    """An observer that prints a start, one line per evaluation, and an end.

    Attributes:
        completed: whether the run reached its last step; True until the run says otherwise.
    """

    def __init__(self, console: Console) -> None:
        self.completed = True
        self._console = console
        self._started: RunStarted | None = None
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put back."""

    def on_start(self, event: RunStarted) -> None:
        """Say what is trained, where, and on what."""
        self._started = event
        verb = "training" if event.start_env_steps == 0 else f"resuming at env step {event.start_env_steps:,}:"
        self.print(
            f"{verb} {event.algorithm} on {event.task}, UTD {event.utd}, {seeds_text(event.seeds)}, "
            f"{event.env_steps:,} env steps; {event.device}; replay {bytes_text(event.replay_bytes)}; "
            f"{workers_text(event.env_workers)}; {path_text(event.path)}"
        )

    def on_progress(self, event: Progress) -> None:
        """Remember the speed for the next line."""
        self._progress = event

    def on_evaluation(self, event: EvaluationDone) -> None:
        """Print one line."""
        self.print(
            "  ".join([*self.evaluation_parts(event), *([speed_text(self._progress)] if self._progress else [])])
        )

    def on_message(self, text: str) -> None:
        """Print it."""
        self.print(text)

    def on_finish(self, event: RunFinished) -> None:
        """Say how it ended, where the run is, and what can be done with it."""
        self.completed = event.completed
        for line in closing_lines(event, self._started.task if self._started else ""):
            self.print(line)

    def evaluation_parts(self, event: EvaluationDone) -> list[str]:
        """Where the run stands and how well it does."""
        total = f"/{self._started.env_steps:,}" if self._started else ""
        parts = [f"env steps {event.env_steps:,}{total}", f"return {returns_text(event)}"]
        if event.successes is not None:
            parts.append(f"solved {mean(event.successes):.0%}")
        return parts

    def print(self, text: str) -> None:
        """One line, as it is: no markup, no colours guessed from numbers, no folding at the terminal's width."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def make_display() -> PlainDisplay:
    """The display that suits standard output: a live one on a terminal."""
    console = Console()
    if sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal:
        from surefoot.cli.live import LiveDisplay

        return LiveDisplay(console)
    return PlainDisplay(console)


def closing_lines(event: RunFinished, task: str) -> list[str]:
    """What to print when a run is over; a task whose name is code (module:callable) has to be named again."""
    path = shlex.quote(path_text(event.path)) + (f" --task {shlex.quote(task)}" if ":" in task else "")
    took = duration_text(event.wall_seconds)
    if not event.completed:
        return [
            f"stopped at env step {event.env_steps:,} after {took}; the checkpoint is saved",
            f"  go on with    surefoot resume {path}",
        ]
    lines = [f"done: {event.env_steps:,} env steps in {took}"]
    if event.final is not None:
        lines.append(f"  final return   {returns_text(event.final)}")
        if not math.isnan(event.random_return):
            lines.append(f"  random policy  {event.random_return:.1f}")
        if event.final.successes is not None:
            lines.append(f"  solved         {mean(event.final.successes):.0%} of the episodes")
    return [
        *lines,
        f"  run            {path_text(event.path)}",
        f"  evaluate it    surefoot evaluate {path}",
        f"  train longer   surefoot resume {path} --env-steps {2 * event.env_steps:_}",
        f'  in Python      surefoot.load_policy("{path_text(event.path)}")',
    ]


def path_text(path: Path) -> str:
    """A path as short as it can be typed here: relative where it lies in the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def mean(values: tuple[float, ...]) -> float:
    """Arithmetic mean over seeds; NaN for none."""
    return sum(values) / len(values) if values else math.nan


def returns_text(event: EvaluationDone) -> str:
    """Mean return over the seeds, with the lowest and highest seed's when there are several."""
    text = f"{mean(event.returns):.1f}"
    if len(event.returns) > 1:
        text += f" (seeds {min(event.returns):.1f} to {max(event.returns):.1f})"
    return text


def speed_text(event: Progress) -> str:
    """Both speeds, all seeds together, and the time left."""
    text = f"{event.env_steps_per_second:,.0f} env steps/s  {event.grad_steps_per_second:,.0f} updates/s"
    return text if event.seconds_left is None else f"{text}  {duration_text(event.seconds_left)} left"


def seeds_text(seeds: tuple[int, ...]) -> str:
    """Which training seeds run."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def workers_text(workers: int) -> str:
    """Where environments step."""
    if workers == 0:
        return "environments in this process"
    return f"environments in {workers} worker process{'es' if workers > 1 else ''}"


def bytes_text(count: int) -> str:
    """A number of bytes for a person, in powers of 1024: ``"5.3 GiB"``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def duration_text(seconds: float) -> str:
    """A duration in seconds for a person: ``"45s"``, ``"5m 07s"``, ``"2h 03m"``, ``"3d 04h"``."""
    total = round(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02d}s"
    if total < 86_400:
        return f"{total // 3600}h {total % 3600 // 60:02d}m"
    return f"{total // 86_400}d {total % 86_400 // 3600:02d}h"
