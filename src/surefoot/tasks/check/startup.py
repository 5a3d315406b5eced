"""Short check of an environment before a training run."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import cloudpickle

from surefoot.errors import UserError
from surefoot.keywords import keyword_argument
from surefoot.processes import python_command, run_program
from surefoot.tasks.check.checker import check_briefly
from surefoot.tasks.check.findings import Finding
from surefoot.tasks.suites import list_tasks
from surefoot.tasks.task import Task
from surefoot.text import one_line, shell_command

SECONDS = 2.0
"""Time for the check, which is looked at before every call of the environment."""

_START_SECONDS = 3.0
"""Time for the start of another process and its imports."""

_MAX_LENGTH = 300
"""Longest line about a finding."""


def check_at_start(task: Task, *, in_workers: bool, one_per_process: bool = False) -> list[str]:
    """Return a line for each finding of a short check, and one that names the complete check.

    Tasks known by name are not checked. The check makes copies of its own, which are closed when it returns, and leaves
    the global random generators as they were. It runs where the training steps its environments: in this process, or in
    another one, which has ended when it returns. It raises nothing.

    Args:
        task: Task of the run.
        in_workers: Whether the training steps its environments in worker processes.
        one_per_process: Whether each of the training's environments has a process of its own, so that two copies in one
            process are not needed.
    """
    if task.name in {known.name for known in list_tasks()}:
        return []
    try:
        if in_workers:
            findings = _check_in_other_process(task, one_per_process)
        else:
            findings = check_briefly(task, SECONDS, one_per_process=one_per_process)
    except (UserError, subprocess.TimeoutExpired):
        return []  # it cannot be made, which the training reports, or not in time
    except (Exception, SystemExit) as error:  # the environment is user code
        reason = one_line(f"{type(error).__name__}: {error}")
        return [f"the environment was not checked ({_shortened(reason)}): {_command(task)}"]
    lines = [_shortened(f"{found.severity}: {found.title} [{found.code}]: {found.observed}") for found in findings]
    return [*lines, f"{_command(task)} explains what was found, and checks more"] if lines else []


def _check_in_other_process(task: Task, one_per_process: bool) -> Sequence[Finding]:
    """Check in a process that is killed once its time is over.

    Raises:
        TimeoutExpired: It took too long.
        RuntimeError: It died.
        UserError: The task cannot be pickled.
    """
    try:
        content = cloudpickle.dumps((task, one_per_process))
    except Exception as error:  # pickling may raise any exception
        raise UserError(f"task '{task.name}' cannot be sent to another process") from error
    ended = run_program(python_command(__name__), content=content, seconds=_START_SECONDS + SECONDS)
    try:
        findings = [Finding(**found) for found in json.loads(ended.output)]
    except (ValueError, TypeError):
        raise RuntimeError(f"exit code {ended.exit_code}, {ended.last_line or 'no message'}") from None
    return findings


def main(_: Sequence[str]) -> int:
    """Check the task that the parent process sends, and print the findings as JSON."""
    result = os.dup(1)
    os.dup2(2, 1)  # the environment may print
    task, one_per_process = pickle.load(sys.stdin.buffer)  # from the parent
    try:
        findings = check_briefly(task, SECONDS, one_per_process=one_per_process)
    except UserError:
        findings = ()
    with os.fdopen(result, "w") as stream:
        json.dump([asdict(finding) for finding in findings], stream)
    sys.stdout.flush()
    os._exit(0)  # what the environment left running does not delay the training


def _command(task: Task) -> str:
    """Return the complete check as a command, or as a function for a callable."""
    if task.suite == "callable":
        return "surefoot.check_env"
    # A name ends with the keywords in parentheses.
    name = task.name.partition("(")[0] if task.env_set else task.name
    return shell_command("surefoot", "check-env", name, *_options(task))


def _options(task: Task) -> Iterator[str]:
    for key, value in task.env_set.items():
        yield "--env-set"
        yield keyword_argument(key, value)


def _shortened(text: str) -> str:
    return textwrap.shorten(text, _MAX_LENGTH, placeholder=" ...")
