"""Short check of an environment before a training run, in a process of its own."""

from __future__ import annotations

import json
import os
import pickle
import signal
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
"""Time for the check, with the imports of the environment."""

_START_SECONDS = 3.0
"""Time for the start of the process, which takes less on an idle machine."""

_CLOSING_SECONDS = 0.5
"""Time for the last call of the environment and for closing it."""

_MAX_LENGTH = 300
"""Longest description of a finding."""

_BY_PROCESSES = ("shared-state", "second-copy")
"""Codes of findings that do not matter where every copy has a process of its own."""


def check_at_start(task: Task, environments: int = 1, *, one_per_process: bool = False) -> list[str]:
    """Return a line for each finding of a short check, and one that names the complete check.

    Tasks known by name are not checked. The check makes copies of its own, in another process that has ended when it
    returns: it affects neither random generators and other state of this process nor what an environment holds
    exclusively, and cannot exceed its time.

    Args:
        task: Task of the run.
        environments: Environments of the run that exist at a time at most, for the remedy of copies that share state.
        one_per_process: Whether each of the training's environments has a process of its own, so that two copies in one
            process are not needed.

    Raises:
        UserError: ``step`` returns a reward that is not one number.
    """
    if task.engine != "suite" or task.name in {known.name for known in list_tasks()}:
        return []
    try:
        content = cloudpickle.dumps((task, one_per_process))
    except Exception:  # pickling may raise any exception
        return []  # the complete check says so
    try:
        findings = _check(content)
    except subprocess.TimeoutExpired:
        return []
    except (OSError, RuntimeError) as error:
        return [f"the environment was not checked ({_shortened(one_line(str(error)))}): {_command(task)}"]
    for found in findings:
        if found.code == "reward-unusable":
            raise UserError(f"task '{task.name}' cannot be trained on: {found.observed}; {_command(task)} checks more")
    lines = [_line(found, environments) for found in findings]
    return [*lines, f"{_command(task)} explains what was found, and checks more"] if lines else []


def _check(content: bytes) -> Sequence[Finding]:
    """Run the check in another process.

    Raises:
        OSError: It cannot be started.
        TimeoutExpired: It took too long.
        RuntimeError: It died.
    """
    seconds = _START_SECONDS + SECONDS + _CLOSING_SECONDS
    # With what the environment has started: a simulator that was not closed would keep its port.
    ended = run_program(python_command(__name__, str(SECONDS)), content=content, seconds=seconds, end_group=True)
    if ended.exit_code == -signal.SIGALRM:
        raise subprocess.TimeoutExpired(__name__, SECONDS)
    try:
        return [Finding(**found) for found in json.loads(ended.output)]
    except (ValueError, TypeError):
        raise RuntimeError(f"exit code {ended.exit_code}, {ended.last_line or 'no message'}") from None


def main(arguments: Sequence[str]) -> int:
    """Check the task that the parent process sends within the given seconds, and print the findings as JSON."""
    seconds = float(arguments[0])
    result = os.dup(1)
    os.dup2(2, 1)  # the environment may print
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process in any code
    signal.setitimer(signal.ITIMER_REAL, seconds + _CLOSING_SECONDS)
    findings: Sequence[Finding] = ()
    try:
        task, one_per_process = pickle.load(sys.stdin.buffer)  # from the parent
        findings = check_briefly(task, seconds, one_per_process=one_per_process)
    except UserError:
        pass  # it cannot be made, which the training reports
    with os.fdopen(result, "w") as stream:
        json.dump([asdict(finding) for finding in findings], stream)
    os._exit(0)  # threads that the environment left running do not delay the training


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


def _line(found: Finding, environments: int) -> str:
    line = _shortened(f"{found.severity}: {found.title} [{found.code}]: {found.observed}")
    if found.code in _BY_PROCESSES:
        line += f"; --env-workers {environments} gives every copy a process of its own"
    return line


def _shortened(text: str) -> str:
    return textwrap.shorten(text, _MAX_LENGTH, placeholder=" ...")
