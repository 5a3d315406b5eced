"""Messages of failures: task, seed, step and how to resume."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from surefoot.errors import EnvironmentFailure, RunFailure
from surefoot.tasks import Task
from surefoot.text import shell_command, shell_path
from surefoot.training.callbacks import EventDispatcher


@contextlib.contextmanager
def explain_start_failures(task: Task, events: EventDispatcher) -> Iterator[None]:
    """Add task and seed to the failure of an environment that did not start."""
    try:
        yield
    except EnvironmentFailure as error:
        if error is events.raised:
            raise  # Raised by a callback: it reaches the caller unchanged.
        raise RunFailure(f"{task.name}, {error.where}, at the start: {error.detail}") from error


@contextlib.contextmanager
def explain_step_failures(
    task: Task, events: EventDispatcher, env_steps: Callable[[], int], path: Path
) -> Iterator[None]:
    """Add task, seed (where known), step and how to resume to the failure of a run.

    Args:
        task: Training task.
        events: Receivers of the run's events.
        env_steps: Returns the env steps so far.
        path: Run directory.
    """
    try:
        yield
    except RunFailure as error:
        if error is events.raised:
            raise
        where, detail = "", str(error)
        if isinstance(error, EnvironmentFailure):
            where, detail = f", {error.where}", error.detail
        # A task that is code must be given again: see tasks.get_run_task.
        again = f"surefoot resume {shell_path(path)}"
        if (argument := task.command_argument) is not None:
            again = f"{again} --task {shell_command(argument)}" if argument else "surefoot.resume(path, task=...)"
        raise RunFailure(
            f"{task.name}{where}, env step {env_steps():,}: {detail}; the last checkpoint is intact ({again})"
        ) from error
