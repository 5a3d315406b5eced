"""Worker processes close their environments, however the parent goes away."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surefoot.tasks import get_task, make_vector
from tests.tasks import zoo


class Closing(zoo.Counter):
    """Leaves a file where it is closed; one that hangs first announces itself by its process id."""

    def __init__(self, folder: Path, hangs: bool = False) -> None:
        super().__init__()
        self._folder, self._hangs = folder, hangs

    def close(self) -> None:
        if self._hangs:
            (self._folder / "hanging").write_text(str(os.getpid()))
            zoo.hangs(self)
        (self._folder / f"closed-{os.getpid()}-{id(self)}").touch()


def test_closing_reaches_every_environment_in_every_worker(tmp_path: Path) -> None:
    with make_vector(get_task(functools.partial(Closing, tmp_path)), [5, 6, 7], "train", num_workers=2) as env:
        env.reset([0, 0, 0])
        pids = env.worker_pids
    closed = [int(path.name.split("-")[1]) for path in tmp_path.iterdir()]
    assert len(closed) == 3
    assert set(closed) == set(pids)


@pytest.mark.parametrize("hangs", [False, True])
def test_environments_are_closed_where_the_parent_is_killed_and_no_worker_outlives_it(
    tmp_path: Path, hangs: bool
) -> None:
    code = (
        "import functools, os, pathlib, signal\nfrom surefoot.tasks import get_task, make_vector\n"
        "from tests.tasks.test_workers import Closing\n"
        f"make = functools.partial(Closing, pathlib.Path({str(tmp_path)!r}), {hangs})\n"
        "make_vector(get_task(make), [5], 'train', num_workers=1).reset([0])\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    begun = time.monotonic()
    # The worker holds the same stdout: this returns only once it is gone as well.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name == "hanging" if hangs else left.name.startswith("closed-")
    assert time.monotonic() - begun < 40
