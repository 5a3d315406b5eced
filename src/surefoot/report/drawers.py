"""Figures by several processes at once: Matplotlib draws on one core, and a large report has hundreds."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from surefoot.errors import RunFailure
from surefoot.report.figures import Job, draw
from surefoot.report.styles import Style

_MOST_PROCESSES = 8
_LEAST_JOBS = 6
"""Below that many jobs for each process, its start takes longer than it saves."""


def draw_at_once(folder: Path, jobs: Sequence[Job], styles: Mapping[str, Style], interval: str) -> None:
    """Write figures into a folder that is there, as ``draw`` does.

    The others are started as programs and not by `multiprocessing`, whose spawn runs the user's main script again.

    Raises:
        OSError: the folder could not be written to.
        RunFailure: a process died.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, min(cores, _MOST_PROCESSES, len(jobs) // _LEAST_JOBS))
    if count == 1:
        draw(folder, jobs, styles, interval)
        return
    parts = [pickle.dumps((folder.absolute(), jobs[start::count], styles, interval)) for start in range(count)]
    with ThreadPoolExecutor(count) as pool:
        for done in pool.map(_start, parts):
            if not done.returncode:
                continue
            try:
                number, reason = json.loads(done.stdout)
            except ValueError:
                lines = done.stderr.decode(errors="replace").strip().splitlines()
                raise RunFailure(f"a process that draws figures died: {lines[-1] if lines else 'killed'}") from None
            raise OSError(number, reason)


def _start(part: bytes) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, "-m", __name__], input=part, capture_output=True, env=environment, check=False
    )


def _main() -> int:
    """Draw what the parent process sends; tell it what the disk refused."""
    # The pipe is the parent's own, nothing that a stranger wrote.
    folder, jobs, styles, interval = pickle.load(sys.stdin.buffer)
    try:
        draw(folder, jobs, styles, interval)
    except OSError as error:
        print(json.dumps([error.errno, error.strerror]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
