"""Process of one cell of a grid, which starts or resumes it.

Exit codes are those of the command line: 0 finished, 1 failed, 2 invalid, 130 stopped with a checkpoint.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.launchers import PARENT
from surefoot.errors import RunFailure, UserError
from surefoot.runs.progress import RunReader, RunState, is_locked
from surefoot.signals import INTERRUPTED, raised_as_interrupts
from surefoot.streams import protect, show_error

_PR_SET_PDEATHSIG = 1

_PREDECESSOR_SECONDS = 120.0
"""A node that lost its cluster, but not the file system, ends its cells after a minute (Ray's default)."""
_POLL_SECONDS = 0.5


def main(arguments: Sequence[str]) -> int:
    """Train one cell; return the exit code.

    Args:
        arguments: Directory of the grid, and name of the cell.
    """
    folder, name = arguments
    _die_with_parent()
    protect(required=False)
    try:
        with raised_as_interrupts():
            return _train(GridFolder.open(Path(folder)), name)
    except UserError as error:
        show_error(error)
        return 2
    except RunFailure as error:
        show_error(error)
        return 1


def _train(folder: GridFolder, name: str) -> int:
    path = folder.run_path(name)
    try:
        _await_predecessor(path)
        completed = _start_or_resume(folder, name, path)
    except KeyboardInterrupt:
        completed = RunReader(path).read().state is RunState.FINISHED  # the signal came during the last step
    return 0 if completed else INTERRUPTED


def _start_or_resume(folder: GridFolder, name: str, path: Path) -> bool:
    """Return whether the run reached its last step."""
    from surefoot.training import api
    from surefoot.training.events import Observer

    if os.path.lexists(path / "config.json"):
        run = api.resume(path, observer=Observer())
    else:
        config = folder.cell(name).config(path)
        settings = {key: value for key, value in vars(config).items() if key not in ("task", "algorithm")}
        run = api.train(config.task, algorithm=config.algorithm, observer=Observer(), **settings)
    return run.completed


def _await_predecessor(path: Path) -> None:
    """Wait, for a limited time, while a process that its launcher considers lost still trains in the run directory."""
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while is_locked(path) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux).

    The cell of a lost launcher is started elsewhere; two processes must never write one run.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get(PARENT)
    if parent is not None and parent != str(os.getppid()):  # it ended before the call above
        os.kill(os.getpid(), signal.SIGKILL)
