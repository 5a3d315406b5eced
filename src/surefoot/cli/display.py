"""Console displays of a run: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from surefoot.encodable import encodable
from surefoot.streams import stdout
from surefoot.text import printable, python_literal, shell_command, shell_path
from surefoot.training.events import EvaluationDone, Observer, Progress, RunFinished, RunStarted
from surefoot.training.progress_text import duration_text, progress_text, speed_text

if TYPE_CHECKING:
    from rich.console import Console

PROGRESS_SECONDS = 15.0
"""Longest time without a line if output is not a terminal."""


class PlainDisplay(Observer):
    """Observer that prints a start, evaluations, progress and an end, one line each.

    Attributes:
        completed: Whether the run has reached its last step.
    """

    def __init__(self, console: Console) -> None:
        self.completed = False
        self._console = console
        self._started: RunStarted | None = None
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the display's resources."""

    def on_start(self, event: RunStarted) -> None:
        """Print the algorithm, task, device and run directory."""
        self._started = event
        verb = "training" if event.start_env_steps == 0 else f"resuming at env step {event.start_env_steps:,}:"
        self.print(
            f"{verb} {event.algorithm} on {event.task}, UTD {event.utd}, {seeds_text(event.seeds, event.num_envs)}, "
            f"{event.env_steps:,} env steps; {event.precision} on {event.device}; "
            f"replay {bytes_text(event.replay_bytes)}; {environments_text(event)}; {path_text(event.path)}"
        )

    def on_progress(self, event: Progress) -> None:
        """Keep the speed for the next line."""
        self._progress = event

    def on_evaluation(self, event: EvaluationDone) -> None:
        """Print the returns."""
        self.print(
            "  ".join([*self.evaluation_parts(event), *([speed_text(self._progress)] if self._progress else [])])
        )

    def on_message(self, text: str) -> None:
        """Print the message."""
        self.print(text)

    def on_finish(self, event: RunFinished) -> None:
        """Print the end of the run, its directory, and commands that use it."""
        self.completed = event.completed
        for line in closing_lines(event, self._started.task_argument if self._started else None):
            self.print(line)

    def evaluation_parts(self, event: EvaluationDone) -> list[str]:
        """Return the steps, returns and success of an evaluation."""
        total = f"/{self._started.env_steps:,}" if self._started else ""
        parts = [f"env steps {event.env_steps:,}{total}", f"return {returns_text(event)}"]
        if event.successes is not None:
            parts.append(f"solved {solved_text(event.successes, event.last_successes)}")
        return parts

    def print(self, text: str) -> None:
        """Print one line verbatim: no markup, highlighting or wrapping."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LogDisplay(PlainDisplay):
    """Plain display for logs and pipes that also prints progress after an interval without output.

    A thread prints the line, because compilation and evaluations send no events.

    Args:
        console: Output.
        interval: Longest time without a line, in seconds.
    """

    def __init__(self, console: Console, interval: float = PROGRESS_SECONDS) -> None:
        super().__init__(console)
        self._interval = interval
        self._ended = threading.Event()
        self._printing = threading.Lock()
        self._start_time = self._last_print = time.monotonic()
        self._thread = threading.Thread(target=self._print_progress, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop printing progress."""
        self._ended.set()
        self._thread.join()

    def on_finish(self, event: RunFinished) -> None:
        """Stop printing progress and print the end."""
        self._ended.set()
        super().on_finish(event)

    def print(self, text: str) -> None:
        """Print one line verbatim and flush it, so that a pipe receives it immediately."""
        with self._printing:
            super().print(text)
            self._console.file.flush()
            self._last_print = time.monotonic()

    def _print_progress(self) -> None:
        while not self._ended.wait(max(0.0, self._last_print + self._interval - time.monotonic())):
            if time.monotonic() - self._last_print >= self._interval:
                self.print(_progress_text(self._started, self._progress, time.monotonic() - self._start_time))


def make_display() -> PlainDisplay:
    """Return the display for standard output: a live one on a terminal."""
    from rich.console import Console

    console = Console(file=stdout())
    if stdout().isatty() and console.is_terminal and not console.is_dumb_terminal:
        from surefoot.cli.live import LiveDisplay

        return LiveDisplay(console)
    return LogDisplay(console)


def _progress_text(started: RunStarted | None, progress: Progress | None, seconds: float) -> str:
    """Return the steps and speeds of a run, or the time since its start before any progress."""
    if started is None:
        return f"building environments, {duration_text(seconds)}"
    if progress is None:
        return f"starting, {duration_text(seconds)}"
    return progress_text(progress, started.env_steps)


def closing_lines(event: RunFinished, task: str | None) -> list[str]:
    """Return the lines to print at the end of a run.

    Args:
        event: End of the run.
        task: Value of ``--task`` in later commands; None if they need none, empty if only Python can name the task.
    """
    path, literal = shell_path(_relative(event.path)), python_literal(_relative(event.path))
    path += f" --task {shell_command(task)}" if task else ""
    longer = 2 * event.env_steps
    evaluate, resume = f"surefoot evaluate {path}", f"surefoot resume {path}"
    if task == "":
        evaluate, resume = (f"surefoot.{name}({literal}, task=...)" for name in ("evaluate", "resume"))
    resume_longer = (
        f"{resume.removesuffix(')')}, env_steps={longer:_})" if task == "" else f"{resume} --env-steps {longer:_}"
    )
    took = duration_text(event.wall_seconds)
    if not event.completed:
        return [
            f"stopped at env step {event.env_steps:,} after {took}; the checkpoint is saved",
            f"  continue with  {resume}",
        ]
    lines = [f"done: {event.env_steps:,} env steps in {took}"]
    if event.final is not None:
        lines.append(f"  final return   {returns_text(event.final)}")
        if not math.isnan(event.random_return):
            lines.append(f"  random policy  {event.random_return:.1f}")
        if event.final.successes is not None:
            solved = solved_text(event.final.successes, event.final.last_successes)
            lines.append(f"  solved         {solved} of the episodes")
    return [
        *lines,
        f"  run            {path_text(event.path)}",
        f"  evaluate it    {evaluate}",
        f"  train longer   {resume_longer}",
        f"  in Python      surefoot.load_policy({literal})",
    ]


def path_text(path: Path) -> str:
    """Return a path as standard output can show it, relative if it is inside the working directory."""
    return encodable(printable(_relative(path)), stdout())


def _relative(path: Path) -> Path:
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return path
    return path.relative_to(here) if path.is_relative_to(here) else path


def mean(values: tuple[float, ...]) -> float:
    """Return the arithmetic mean of the values that are not NaN, which diverged seeds have; NaN without any."""
    known = _known(values)
    return sum(known) / len(known) if known else math.nan


def _known(values: tuple[float, ...]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def solved_text(successes: tuple[float, ...], last_successes: tuple[float, ...] | None) -> str:
    """Return the mean share of episodes solved at any step, with that at the last step where it differs."""
    text = f"{mean(successes):.0%}"
    if last_successes is not None and (at_end := f"{mean(last_successes):.0%}") != text:
        text += f" (at the end {at_end})"
    return text


def returns_text(event: EvaluationDone) -> str:
    """Return the mean return over the seeds that have not diverged, with the range if they are several."""
    known = _known(event.returns)
    diverged = len(event.returns) - len(known)
    about = [f"seeds {min(known):.1f} to {max(known):.1f}"] if len(known) > 1 else []
    about += [f"{diverged} diverged"] if diverged else []
    return f"{mean(event.returns):.1f}" + (f" ({', '.join(about)})" if about else "")


def seeds_text(seeds: tuple[int, ...], num_envs: int) -> str:
    """Return the range of training seeds, and the number of environments of each if it has several."""
    text = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    return text if num_envs == 1 else f"{text}, {num_envs:,} environments{' each' * (len(seeds) > 1)}"


def environments_text(started: RunStarted) -> str:
    """Return where the environments of a run are stepped."""
    match started.engine:
        case "envpool":
            return "environments in EnvPool"
        case "jax":
            return "environments in the compiled program"
    workers = started.env_workers
    if workers == 0:
        return "environments in this process"
    return f"environments in {workers} worker process{'es' if workers > 1 else ''}"


def bytes_text(count: int) -> str:
    """Return a number of bytes in powers of 1024, such as ``"5.3 GiB"``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
