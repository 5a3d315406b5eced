"""Worker processes close their environments, however the parent goes away."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
import pytest

from surefoot.errors import UserError
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


class Growing(Closing):
    """Every copy in a process is larger than the one before, until the third cannot be made."""

    made: ClassVar[int] = 0

    def __init__(self, folder: Path, grows: str) -> None:
        super().__init__(folder)
        Growing.made += 1
        if Growing.made == 3:
            raise RuntimeError("no third port")
        size = Growing.made if grows == "observation" else 2
        high = float(Growing.made) if grows == "action" else 1.0
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,))
        self.action_space = gymnasium.spaces.Box(-1.0, high, (1,))


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("grows", "copies", "said"),
    [
        ("observation", 2, "makes environments whose spaces differ"),
        ("action", 2, "makes environments whose spaces differ"),
        ("nothing", 3, "cannot be made: RuntimeError: no third port"),
    ],
)
def test_environments_are_closed_where_one_of_them_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int, grows: str, copies: int, said: str
) -> None:
    monkeypatch.setattr(Growing, "made", 0)
    task = get_task(functools.partial(Growing, tmp_path, grows))
    with pytest.raises(UserError, match=said):
        make_vector(task, range(copies), "train", num_workers=num_workers)
    assert len(list(tmp_path.iterdir())) == 2


def test_copies_in_different_workers_are_compared_too(tmp_path: Path) -> None:
    class Differs(zoo.Counter):
        def __init__(self) -> None:
            super().__init__()
            size = len(list(tmp_path.iterdir()))
            (tmp_path / str(os.getpid())).touch()
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size + 1,))

    with make_vector(get_task(Differs), [5], "train", num_workers=1) as one:
        assert one.observation_size == 1
    with pytest.raises(UserError, match="makes environments whose spaces differ"):
        make_vector(get_task(Differs), [5, 6], "train", num_workers=2)


def test_an_environment_that_is_refused_for_its_spaces_is_closed(tmp_path: Path) -> None:
    class Chooses(Closing):
        action_space = gymnasium.spaces.Discrete(3)

    with pytest.raises(UserError, match=r"action space Discrete\(3\)"):
        get_task(functools.partial(Chooses, tmp_path)).make()
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_worker_prints_is_not_this_programs_output(capfd: pytest.CaptureFixture[str]) -> None:
    class Talks(zoo.Counter):
        def __init__(self) -> None:
            super().__init__()
            print("hello", flush=True)

    make_vector(get_task(Talks), [5], "train", num_workers=1).close()
    assert capfd.readouterr() == ("", "hello\n")


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
    # The worker holds the same stderr: this returns only once it is gone as well.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name == "hanging" if hangs else left.name.startswith("closed-")
    assert time.monotonic() - begun < 40
