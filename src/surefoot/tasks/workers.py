"""One process that steps some of the slots, and the handle its parent holds."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.tasks.registry import Task
from surefoot.tasks.shared_step import SharedStep
from surefoot.tasks.slots import EnvSlots

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import surefoot.tasks.workers as w; "
    "w.serve(*map(int, sys.argv[2:]))"
)

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""A worker's matrices are tiny; libraries that start a thread per core in every worker only get in the way."""

_STEP = b""
"""Asks for a step, and says that it was taken."""

_BACKGROUND = 5
"""What a worker in the background adds to its niceness: beside a busy process it gets a quarter of a core."""

_PATIENCE = 2
"""Seconds a process has to close its environments and exit once nobody speaks to it any more."""


class Worker:
    """A fresh interpreter that holds `EnvSlots`, spoken to through a pipe: one request, one reply, in order.

    A step, which is asked for most, is an empty message either way: its numbers are on a `SharedStep`.

    It is started as a program and not by `multiprocessing`, whose spawn runs the user's main script a second time: a
    training script without a `__main__` guard would train again in every worker. The slots' task travels by
    cloudpickle, so that callables defined in that script need no import.

    The worker has its own process group and ignores SIGINT and SIGTERM: a signal to stop is the parent's to act on,
    which may still want a checkpoint. When the pipe closes, however the parent ended, it closes its environments and
    exits.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        stream: str,
        action_repeat: int | None,
        autoreset: bool,
        board: int,
        background: bool = False,
    ) -> None:
        """Start the process; `receive` the first reply to learn the spaces, then `share` the board.

        Args:
            task: what to play.
            seeds: of its slots.
            stream: "train" or "evaluate".
            action_repeat: control steps per decision, in place of the task's own.
            autoreset: begin the next episode in the step that ends one.
            board: the descriptor of its file.
            background: take what time others leave.

        Raises:
            UserError: the task holds something that cannot be sent to another process.
            EnvironmentFailure: the process has died.
        """
        self._seeds = tuple(seeds)
        try:
            slots = cloudpickle.dumps((task, self._seeds, stream, action_repeat, autoreset))
        except Exception as error:  # whatever the callable drags along may refuse in its own way
            raise UserError(
                f"task '{task.name}' cannot be sent to a worker process ({type(error).__name__}: {error}): "
                "step it in this process (0 workers), or have the callable make what it needs"
            ) from error
        niceness = _BACKGROUND if background else 0
        ours, theirs = socket.socketpair()
        environment = {**dict.fromkeys(_ONE_THREAD, "1"), **os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno()), str(board), str(niceness)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=2,  # what an environment prints must not get into what this program prints
                pass_fds=[theirs.fileno(), board],
                process_group=0,
            )
        self._pipe = Connection(ours.detach())
        self.pid = self._process.pid
        try:
            self._pipe.send_bytes(slots)
        except OSError as error:
            raise self._death() from error

    def share(self, chunk: slice, slots: int) -> None:
        """Tell which of the board's slots are the worker's; it replies like to `send`."""
        self.send("share", chunk.start, chunk.stop, slots)

    def send(self, method: str, *arguments: Any) -> None:
        """Ask for a method of `EnvSlots`.

        Raises:
            EnvironmentFailure: the process has died.
        """
        self._send(pickle.dumps((method, arguments)))

    def send_step(self) -> None:
        """Ask for a step with the actions on the board; the reply is None, and what came of it on the board.

        Raises:
            EnvironmentFailure: the process has died.
        """
        self._send(_STEP)

    def _send(self, request: bytes) -> None:
        try:
            self._pipe.send_bytes(request)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> Any:
        """Wait for the reply to the oldest request.

        Raises:
            UserError: the task cannot be made as asked.
            EnvironmentFailure: an environment failed, or the process died.
        """
        try:
            reply = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._death() from error
        if reply == _STEP:
            return None
        kind, value = pickle.loads(reply)
        if kind == "failure":
            raise EnvironmentFailure(*value)
        if kind == "user_error":
            raise UserError(value)
        return value

    def hang_up(self) -> None:
        """Close the pipe, which ends the process as soon as it is idle."""
        self._pipe.close()

    def join(self) -> bool:
        """Wait for the end of a process that was hung up on; force it where an environment hangs, and return True."""
        try:
            self._process.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return True
        return False

    def _death(self) -> EnvironmentFailure:
        if self.join():  # our own signal says nothing about the cause
            how = f"it closed its pipe and had not exited {_PATIENCE:g} s later"
        else:
            code = self._process.returncode
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        seeds = f"seeds {self._seeds[0]} to {self._seeds[-1]}" if len(set(self._seeds)) > 1 else "it"
        return EnvironmentFailure(self._seeds[0], f"the worker process that stepped {seeds} died ({how})")


def serve(pipe_descriptor: int, board: int, niceness: int) -> None:
    """Run a worker: make its slots, answer requests until the parent closes the pipe or is gone, and close them."""
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe = Connection(pipe_descriptor)
    slots: EnvSlots | None = None
    step: Callable[[], None] | None = None
    try:
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                request = pipe.recv_bytes()
                try:
                    if slots is None:
                        slots = _load(request)
                        reply = _packed("value", slots.spaces)
                    elif request == _STEP:
                        assert step is not None
                        step()
                        reply = _STEP
                    else:
                        method, arguments = pickle.loads(request)
                        if method == "share":
                            step = _shared_stepper(slots, board, *arguments)
                            reply = _packed("value", None)
                        else:
                            reply = _packed("value", getattr(slots, method)(*arguments))
                except EnvironmentFailure as error:
                    reply = _packed("failure", (error.seed, error.detail))
                except UserError as error:
                    reply = _packed("user_error", str(error))
                pipe.send_bytes(reply)
    finally:
        if slots is not None:
            _close(slots)


def _packed(kind: str, value: Any) -> bytes:
    return pickle.dumps((kind, value))


def _shared_stepper(slots: EnvSlots, descriptor: int, start: int, stop: int, total: int) -> Callable[[], None]:
    """Return what takes a step with the actions on the board and writes there what came of it."""
    board = SharedStep(descriptor, total, slots.spaces.observation_size, len(slots.spaces.action_low))
    chunk = slice(start, stop)
    # A copy: an environment may keep its action, and the next one is written to the same place.
    return lambda: board.put(slots.step(board.actions[chunk].copy()), chunk)


def _close(slots: EnvSlots) -> None:
    """Close the environments, which may hold a robot or a port; one that hangs ends with the process.

    The parent may be gone, so that nobody else would end it. The alarm's own handler does so in foreign code too.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_PATIENCE)
    slots.close()


def _load(request: bytes) -> EnvSlots:
    try:
        arguments = pickle.loads(request)
    except Exception as error:  # loading imports the modules a callable lives in, which may raise anything
        raise UserError(
            f"the task cannot be loaded in a worker process ({type(error).__name__}: {error}): "
            "step it in this process (0 workers)"
        ) from error
    return EnvSlots(*arguments)
