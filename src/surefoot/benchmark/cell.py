"""One cell of a grid as a process: ``python -m surefoot.benchmark.cell DIR NAME`` begins it or goes on with it.

Exit codes are those of the command line: 0 done, 1 something broke, 2 it cannot be run, 130 stopped with a checkpoint.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from surefoot.benchmark.folder import BenchFolder
from surefoot.benchmark.launchers import PARENT
from surefoot.errors import RunFailure, UserError
from surefoot.runs.progress import is_locked

INTERRUPTED = 130

_PR_SET_PDEATHSIG = 1

_PREDECESSOR_SECONDS = 120.0
"""A node that its cluster no longer sees, but that sees the disk, ends its cells after a minute (Ray's default)."""
_POLL_SECONDS = 0.5


def main(arguments: list[str]) -> int:
    """Train one cell; return the exit code."""
    folder, name = arguments
    _die_with_parent()
    try:
        return _train(BenchFolder.open(Path(folder)), name)
    except UserError as error:
        print(f"surefoot: error: {error}", file=sys.stderr, flush=True)
        return 2
    except RunFailure as error:
        print(f"surefoot: error: {error}", file=sys.stderr, flush=True)
        return 1


def _train(folder: BenchFolder, name: str) -> int:
    from surefoot.training import api
    from surefoot.training.observers import PlainObserver

    path = folder.run_path(name)
    _await_predecessor(path)
    if (path / "config.json").exists():
        run = api.resume(path, observer=PlainObserver())
    else:
        config = folder.cell(name).config(path)
        settings = {key: value for key, value in vars(config).items() if key not in ("task", "algorithm")}
        run = api.train(config.task, algorithm=config.algorithm, observer=PlainObserver(), **settings)
    return 0 if run.completed else INTERRUPTED


def _await_predecessor(path: Path) -> None:
    """Wait while a process that was given up for lost still trains in a run directory; not for ever."""
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while is_locked(path) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _die_with_parent() -> None:
    """Be killed when the process that started this one ends, however it ends (Linux).

    A launcher that is gone, with its node or by itself, starts the cell anew elsewhere; two must never write one run.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get(PARENT)
    if parent is not None and parent != str(os.getppid()):  # it ended before the line above
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
