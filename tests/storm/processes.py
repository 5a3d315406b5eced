"""Processes of stress tests: forked ones that are killed, and long-lived ones that have compiled everything.

A server that has imported JAX but started no XLA client forks all of them, so the imports are paid once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import surefoot
from surefoot.errors import RunFailure, UserError
from surefoot.training.events import CheckpointSaved, Observer, RunStarted
from tests.storm.moments import Moment, Moments
from tests.storm.programs import start_or_resume

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.storm.processes"])

LIMIT_SECONDS = 600.0
"""Limit of one process of a trial, far above what it takes on a busy machine."""


@dataclass
class Outcome:
    """End of a run in a process that was not killed.

    Attributes:
        completed: Whether the run reached its last step.
        error: Message of the UserError or RunFailure; None without one.
        trace: Traceback of any other exception; None without one.
        start: Env steps of the checkpoint it continued from, 0 for a new run; None if it did not get so far.
        messages: Lines for the user.
        acted: Whether the chosen moment was reached.
        counts: Calls by phase and place.
    """

    completed: bool = False
    error: str | None = None
    trace: str | None = None
    start: int | None = None
    messages: list[str] = field(default_factory=list)
    acted: bool = False
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Return what must not happen in any process: tracebacks, and errors of more or less than one line."""
        if self.trace is not None:
            return [f"a traceback: {self.trace.strip().splitlines()[-1]}"]
        if self.error is not None and (not self.error.strip() or "\n" in self.error):
            return [f"an error that is not one line: {self.error!r}"]
        return []


@dataclass(frozen=True)
class Job:
    """A run to start or resume.

    Attributes:
        variant: Variant of the run, see ``programs``.
        out: Run directory.
        moment: When ``act`` is called; None for never.
        act: Importable function, and its arguments.
        announced: File to which the env steps of every announced checkpoint are appended; None for none.
        at: Time to start at, by ``time.monotonic``.
    """

    variant: str
    out: Path
    moment: Moment | None = None
    act: tuple[Callable[..., None], tuple[Any, ...]] | None = None
    announced: Path | None = None
    at: float = 0.0


class _Recorder(Observer):
    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def on_start(self, event: RunStarted) -> None:
        self._outcome.start = event.start_env_steps

    def on_evaluation(self, event: object) -> None:
        pass

    def on_message(self, text: str) -> None:
        self._outcome.messages.append(text)

    def on_finish(self, event: object) -> None:
        pass


class _Announcer(surefoot.Callback):
    """Appends the env steps of checkpoints to a file, which outlives a kill."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_checkpoint(self, event: CheckpointSaved) -> None:
        with self._path.open("a") as stream:
            stream.write(f"{event.env_steps}\n")


def run_here(job: Job) -> Outcome:
    """Start or resume a run in this process."""
    outcome = Outcome()
    callbacks = [] if job.announced is None else [_Announcer(job.announced)]
    function, arguments = job.act or (lambda: None, ())
    moments = Moments(job.moment, lambda: function(*arguments))
    while (left := job.at - time.monotonic()) > 0:
        time.sleep(max(0.0, left - 0.001))
    try:
        with moments:
            run = start_or_resume(job.variant, job.out, _Recorder(outcome), callbacks)
        outcome.completed = run.completed
    except (UserError, RunFailure) as error:
        outcome.error = str(error)
    except BaseException:
        outcome.trace = traceback.format_exc()
    outcome.acted, outcome.counts = moments.acted, dict(moments.counts)
    return outcome


def kill_self() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


# ---------------------------------------------------------------- processes that are killed


class Victim:
    """A new process that runs one job.

    Args:
        job: What it runs.
        output: File that its output is appended to.
    """

    def __init__(self, job: Job, output: Path) -> None:
        self._pipe, end = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_victim, args=(end, job, output))
        self._process.start()
        end.close()
        self._pipe.recv()  # it is about to start

    def wait(self, kill_after: float | None = None) -> Outcome | None:
        """Return the outcome, or None if the process was killed.

        Args:
            kill_after: Seconds after which it is killed; None for never.

        Raises:
            RuntimeError: It hangs, or ended in another way.
        """
        hangs = not self._pipe.poll(LIMIT_SECONDS if kill_after is None else kill_after) and kill_after is None
        if hangs or kill_after is not None:
            self._process.kill()
        try:
            outcome: Outcome | None = self._pipe.recv()
        except EOFError:
            outcome = None
        self._process.join(LIMIT_SECONDS)
        if hangs:
            raise RuntimeError(f"a process did not end within {LIMIT_SECONDS:.0f} s")
        if outcome is None and self._process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"a process ended with exit code {self._process.exitcode}")
        return outcome


def _victim(pipe: Connection, job: Job, output: Path) -> None:
    _redirect(output)
    pipe.send(None)
    pipe.send(run_here(job))


# ---------------------------------------------------------------- processes that stay


class Warm:
    """A process that runs any number of jobs, one after the other, and compiles each program once.

    Args:
        output: File that its output is appended to.
    """

    def __init__(self, output: Path) -> None:
        self._pipe, end = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_serve, args=(end, output), daemon=True)
        self._process.start()
        end.close()

    def start(self, job: Job) -> None:
        """Start a job."""
        self._pipe.send(job)

    def wait(self) -> Outcome:
        """Return the outcome of the job.

        Raises:
            RuntimeError: It hangs or died.
        """
        if not self._pipe.poll(LIMIT_SECONDS):
            raise RuntimeError(f"a run did not end within {LIMIT_SECONDS:.0f} s")
        try:
            outcome: Outcome = self._pipe.recv()
        except EOFError:
            raise RuntimeError("a process that runs jobs died") from None
        return outcome

    def run(self, job: Job) -> Outcome:
        """Run a job and return its outcome."""
        self.start(job)
        return self.wait()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(5)
        self._process.kill()


def _serve(pipe: Connection, output: Path) -> None:
    _redirect(output)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(run_here(job))


def _redirect(output: Path) -> None:
    """Append standard output and error to a file, which also gets what native code prints."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
