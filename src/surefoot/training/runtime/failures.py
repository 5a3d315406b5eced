"""What is said when something breaks: which task, which seed, where it happened, and how to go on."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from surefoot.errors import EnvironmentFailure, RunFailure
from surefoot.tasks import Task
from surefoot.training.callbacks import EventDispatcher


@contextlib.contextmanager
def naming_start(task: Task, watchers: EventDispatcher) -> Iterator[None]:
    """Name the task and the seed of an environment that did not even start."""
    try:
        yield
    except EnvironmentFailure as error:
        if error is watchers.raised:
            raise  # Theirs, not the run's: it reaches the caller as it is. Here and below.
        raise RunFailure(f"{task.name}, seed {error.seed}, at the start: {error.detail}") from error


@contextlib.contextmanager
def naming_step(task: Task, watchers: EventDispatcher, env_steps: Callable[[], int], path: Path) -> Iterator[None]:
    """Name the task, the step and, where it is one seed's, the seed of what broke a run, and how to go on with it.

    Args:
        task: what is learned.
        watchers: of the run.
        env_steps: returns where the run stands.
        path: the run directory.
    """
    try:
        yield
    except RunFailure as error:
        if error is watchers.raised:
            raise
        seed, detail = "", str(error)
        if isinstance(error, EnvironmentFailure):
            seed, detail = f", seed {error.seed}", error.detail
        # A name that is code has to be said again: see tasks.get_run_task.
        again = f"{path} --task {shlex.quote(task.name)}" if ":" in task.name else str(path)
        raise RunFailure(
            f"{task.name}{seed}, env step {env_steps():,}: {detail}; the last checkpoint is intact "
            f"(surefoot resume {again})"
        ) from error
