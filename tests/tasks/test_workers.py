"""Worker processes: start, failures, signals and closing of environments."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.tasks import get_task, make_vector, shared_step, workers
from surefoot.tasks.slots import VectorStep
from surefoot.tasks.vector import VectorEnv, WorkerVectorEnv
from tests.flat_spaces import env_spaces
from tests.tasks import zoo

ZERO = np.zeros((2, 1), np.float32)


class Closing(zoo.Counter):
    """Creates a file on close; one that hangs first writes its process id."""

    def __init__(self, folder: Path, hangs: bool = False) -> None:
        super().__init__()
        self._folder, self._hangs = folder, hangs

    def close(self) -> None:
        if self._hangs:
            (self._folder / "hanging").write_text(str(os.getpid()))
            zoo.hangs(self)
        (self._folder / f"closed-{os.getpid()}-{id(self)}").touch()


def test_close_reaches_every_environment_in_every_worker(tmp_path: Path) -> None:
    with make_vector(get_task(functools.partial(Closing, tmp_path)), [5, 6, 7], "train", num_workers=2) as env:
        env.reset([0, 0, 0])
        pids = worker_pids(env)
    closed = [int(path.name.split("-")[1]) for path in tmp_path.iterdir()]
    assert len(closed) == 3
    assert set(closed) == set(pids)


class Growing(Closing):
    """Copies of growing size per process; the third cannot be created."""

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


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("grows", "copies", "message"),
    [
        ("observation", 2, "makes environments whose spaces differ"),
        ("action", 2, "makes environments whose spaces differ"),
        ("nothing", 3, "cannot be made: RuntimeError: no third port"),
    ],
)
def test_environments_are_closed_if_one_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int, grows: str, copies: int, message: str
) -> None:
    monkeypatch.setattr(Growing, "made", 0)
    task = get_task(functools.partial(Growing, tmp_path, grows))
    with pytest.raises(UserError, match=message):
        make_vector(task, range(copies), "train", num_workers=num_workers)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_spaces_are_compared_across_workers(tmp_path: Path) -> None:
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


def test_environment_with_unsupported_space_is_closed(tmp_path: Path) -> None:
    class Chooses(Closing):
        action_space: Any = gymnasium.spaces.Discrete(3)

    with pytest.raises(UserError, match=r"action space Discrete\(3\)"):
        get_task(functools.partial(Chooses, tmp_path)).make()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_worker_output_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    class Prints(zoo.Counter):
        def __init__(self) -> None:
            super().__init__()
            print("hello", flush=True)

    make_vector(get_task(Prints), [5], "train", num_workers=1).close()
    assert capfd.readouterr() == ("", "hello\n")


@pytest.mark.parametrize("hangs", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_workers_close_environments_and_exit_if_parent_is_killed(tmp_path: Path, hangs: bool) -> None:
    code = (
        "import functools, os, pathlib, signal\nfrom surefoot.tasks import get_task, make_vector\n"
        "from tests.tasks.test_workers import Closing\n"
        f"make = functools.partial(Closing, pathlib.Path({str(tmp_path)!r}), {hangs})\n"
        "make_vector(get_task(make), [5], 'train', num_workers=1).reset([0])\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    start = time.monotonic()
    # The worker inherits stderr, so this returns only after the worker has exited.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name == "hanging" if hangs else left.name.startswith("closed-")
    assert time.monotonic() - start < 40


def test_killed_worker_is_reported_at_once() -> None:
    for wait in (False, True):
        with make_vector(get_task(zoo.terminating), [5, 6, 7, 8], "train", num_workers=2) as env:
            env.reset([0] * 4)
            started = time.monotonic()
            os.kill(worker_pids(env)[1], signal.SIGKILL)
            if wait:
                time.sleep(0.2)
            with pytest.raises(
                EnvironmentFailure, match=r"seed 7: the worker.* seeds 7 to 8 died \(killed by SIGKILL\)"
            ):
                env.step(np.zeros((4, 1), np.float32))
            assert time.monotonic() - started < 2.0


@pytest.mark.slow
def test_environment_that_kills_its_process_is_reported() -> None:
    with make_vector(get_task(zoo.failing(zoo.dies)), [5], "train", num_workers=1) as env:
        env.reset([0])
        env.step(ZERO[:1])
        with pytest.raises(EnvironmentFailure, match="SIGKILL"):
            env.step(ZERO[:1])


def test_death_is_reported_while_processes_of_the_environment_live(capfd: pytest.CaptureFixture[str]) -> None:
    with make_vector(get_task(zoo.failing(zoo.dies_with_a_copy_left)), [5], "train", num_workers=1) as env:
        env.reset([0])
        env.step(ZERO[:1])
        started = time.monotonic()
        with pytest.raises(EnvironmentFailure, match="SIGKILL"):
            env.step(ZERO[:1])
        assert time.monotonic() - started < 10
    copy = int(capfd.readouterr().err.split()[-1])
    assert is_running(copy)
    os.kill(copy, signal.SIGKILL)


class Simulated(zoo.Counter):
    """Each episode starts a program and a copy of the process, and ends them by SIGTERM."""

    def reset(self, **settings: Any) -> tuple[np.ndarray, dict]:
        program = subprocess.Popen(["sleep", "60"])
        reading, writing = os.pipe()
        if (copy := os.fork()) == 0:
            os.write(writing, b".")
            time.sleep(60)
            os._exit(0)
        os.read(reading, 1)  # Python discards signals that arrive while a copy starts
        program.terminate()
        os.kill(copy, signal.SIGTERM)
        assert program.wait() == os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == -signal.SIGTERM
        return super().reset(**settings)


def test_environments_in_workers_can_terminate_their_processes() -> None:
    with make_vector(get_task(Simulated), [5], "train", num_workers=1) as env:
        env.reset([0])


@pytest.mark.parametrize("call", ["socket.socketpair", "subprocess.Popen"])
def test_worker_that_cannot_be_started_is_one_line(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(call, refuse)
    with pytest.raises(UserError, match="cannot start a worker process: Too many open files; use fewer workers"):
        make_vector(get_task(zoo.terminating), [5, 6], "train", num_workers=2)


def test_thread_counts_that_are_no_numbers_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, used in (("4", "4"), (" 2 ", "2"), ("", "1"), ("many", "1"), ("-3", "1"), ("0", "1"), ("²", "1")):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert workers._thread_count("OMP_NUM_THREADS") == used


@pytest.mark.slow
def test_hanging_worker_is_killed_some_time_after_its_parent() -> None:
    code = (
        "import os, signal, threading, numpy\nfrom surefoot.tasks import get_task, make_vector\n"
        "from tests.tasks import zoo\n"
        "def hangs(env):\n"
        "    from surefoot.tasks import workers\n"
        "    workers._ORPHAN_SECONDS = 1.0\n"  # in the worker
        "    zoo.hangs(env)\n"
        "env = make_vector(get_task(zoo.failing(hangs)), [5], 'train', num_workers=1)\n"
        "env.reset([0])\nenv.step(numpy.zeros((1, 1), 'f4'))\n"
        "threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()\n"
        "env.step(numpy.zeros((1, 1), 'f4'))"
    )
    # The worker inherits stderr, so this returns only after the worker has exited.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=90)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_worker_that_closes_its_channel_without_exiting_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_EXIT_SECONDS", 0.1)
    monkeypatch.setattr(workers, "_CLOSE_SECONDS", 0.0)
    with make_vector(get_task(zoo.failing(zoo.closes_everything)), [5], "train", num_workers=1) as env:
        env.reset([0])
        env.step(ZERO[:1])
        with pytest.raises(EnvironmentFailure, match=r"died \(it closed its channel and had not exited 0\.1 s later\)"):
            env.step(ZERO[:1])


def test_workers_ignore_signals() -> None:
    with make_vector(get_task(zoo.terminating), [5, 6], "train", num_workers=2) as env:
        env.reset([0, 0])
        for pid in worker_pids(env):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGHUP)
        assert env.step(ZERO).active.all()


@pytest.mark.slow
def test_workers_are_single_threaded_processes_without_jax() -> None:
    with make_vector(get_task(zoo.census), [5, 6], "train", num_workers=2) as env:
        jax, threads, pid, parent = env.reset([0, 0]).T
    assert jax.tolist() == [0, 0]
    assert threads.tolist() == [float(os.environ.get("OMP_NUM_THREADS", 1))] * 2
    assert len({os.getpid(), *pid.astype(int)}) == 3
    assert set(parent.astype(int)) == {os.getpid()}


def test_close_ends_workers_and_is_idempotent() -> None:
    env = make_vector(get_task(zoo.terminating), [5, 6], "train", num_workers=2)
    pids = worker_pids(env)
    env.close()
    env.close()
    assert not any(is_running(pid) for pid in pids)


def test_close_kills_hanging_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(workers, "_EXIT_SECONDS", 0.1)
    env = make_vector(get_task(zoo.failing(zoo.hangs)), [5], "train", num_workers=1)
    (pid,) = worker_pids(env)
    env.reset([0])
    env.step(ZERO[:1])
    env.step_async(ZERO[:1])
    env.close()
    assert not is_running(pid)
    assert "1 of 1 worker processes had to be killed: environments were busy" in capsys.readouterr().err


def worker_pids(env: VectorEnv) -> tuple[int, ...]:
    assert isinstance(env, WorkerVectorEnv)
    return tuple(env.worker_pids)


def is_running(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.slow
def test_script_without_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "from surefoot.tasks import get_task, make_vector\nfrom surefoot.tasks.probes import ActionProbe\n"
        "import numpy as np\n"
        "class Mine(ActionProbe):\n    pass\n"
        "def make_env():\n    return Mine()\n"
        "with make_vector(get_task(make_env), [0, 1], 'train', num_workers=2) as env:\n"
        "    env.reset([0, 0])\n    print(env.step(np.zeros((2, 1), np.float32)).terminated)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[ True  True]\n", "")


def test_unpicklable_callable_is_a_user_error() -> None:
    lock: Any = threading.Lock()
    with pytest.raises(UserError, match="cannot be sent to a worker process"):
        make_vector(get_task(lambda: lock), [5], "train", num_workers=1)


def test_shared_step_writes_only_its_own_slots():
    """Two chunks of one shared step; actions passed to an environment are copies that it may keep."""
    kept = []

    class Doubles:
        spaces = env_spaces(3, [-1.0, -1.0], [1.0, 1.0])

        def step(self, actions):
            kept.append(actions)
            slots = len(actions)
            observation = np.tile(2.0 * actions[:, :1], 3)
            flags = (np.zeros(slots, bool), np.ones(slots, bool))
            reward, env_steps = actions.sum(axis=1), np.full(slots, 7, np.int32)
            return VectorStep(observation, reward, *flags, env_steps, flags[0], flags[1], observation + 1.0, flags[1])

    file = shared_step.make_file()
    shared = shared_step.SharedStep(file, 3, 3, 2)
    chunks = [workers._shared_stepper(Doubles(), file, *chunk) for chunk in ((0, 1, 3), (1, 3, 3))]
    os.close(file)
    taken = []
    for first in (1.0, 10.0):
        shared.actions[:] = first * np.arange(6).reshape(3, 2)
        for step_chunk in chunks:
            step_chunk()
        taken.append(shared.read())
    for first, step in zip((1.0, 10.0), taken, strict=True):
        np.testing.assert_array_equal(step.next_observation, first * np.array([[0.0] * 3, [4.0] * 3, [8.0] * 3]))
        np.testing.assert_array_equal(step.observation, step.next_observation + 1.0)
        np.testing.assert_array_equal(step.reward, first * np.array([1.0, 5.0, 9.0]))
        assert step.terminated.tolist() == step.success.tolist() == [False] * 3
        assert step.truncated.tolist() == step.reports_success.tolist() == step.active.tolist() == [True] * 3
        assert step.env_steps.tolist() == [7] * 3
        assert [array.dtype for array in step] == ["f4", "f4", "?", "?", "i4", "?", "?", "f4", "?"]
    np.testing.assert_array_equal(kept[0], [[0.0, 1.0]])
    np.testing.assert_array_equal(kept[1], [[2.0, 3.0], [4.0, 5.0]])


@pytest.mark.slow
def test_shared_step_without_memfd(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with make_vector(get_task(zoo.terminating), [5, 6], "train", num_workers=2) as env:
        env.reset([0, 0])
        assert env.step(np.zeros((2, 1), np.float32)).reward.tolist() == [1.0, 1.0]
