"""Worker processes that step some of the environment slots."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle

from surefoot.errors import EnvironmentFailure, UserError
from surefoot.processes import python_command
from surefoot.signals import leave_to_parent
from surefoot.streams import protect, third_party_descriptors
from surefoot.tasks.channel import Channel
from surefoot.tasks.shared_step import SharedStep
from surefoot.tasks.slots import EnvSlots
from surefoot.tasks.task import Task

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Thread counts set to 1: a worker's matrices are tiny, and one thread per core in every worker slows them down."""

_STEP = b""
"""Request for a step, and its reply."""

_EXIT_SECONDS = 2.0
"""Time for exiting once the channel is closed, without that for closing the environments."""

_CLOSE_SECONDS = 0.5
"""Additional time for closing each environment."""

_ORPHAN_SECONDS = 10
"""Time after the parent's death for the request being answered, and for closing the environments."""


class Worker:
    """Handle of a process that holds `EnvSlots`; every request through its channel has one reply, in order.

    A step, the most frequent request, is an empty message in both directions: its arrays are in a `SharedStep`.

    The process is a fresh interpreter and not one of `multiprocessing`, whose spawn method runs the user's main script
    again: a training script without a `__main__` guard would train again in every worker. The task is sent by
    cloudpickle, so that callables defined in that script need no import.

    The process has its own process group and ignores requests to stop, since the parent may handle them and
    still write a checkpoint. When the channel closes or the parent dies, it closes its environments and exits.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        stream: str,
        action_repeat: int | None,
        autoreset: bool,
        environments: Sequence[int | None] | None,
        shared: int,
    ) -> None:
        """Start the process. Its first reply is the spaces; then send "share" before the first step.

        Args:
            task: Task to play.
            seeds: Training seed of each of its slots.
            stream: "train" or "evaluate".
            action_repeat: Control steps per decision, instead of the task's own.
            autoreset: Whether the step that ends an episode starts the next one.
            environments: Number of each of its slots within its seed; None for none.
            shared: Descriptor of the file of the `SharedStep`.

        Raises:
            UserError: The task cannot be pickled, or the process cannot be started.
            EnvironmentFailure: The process has died.
        """
        self._seeds, self._environments = tuple(seeds), environments
        try:
            arguments = cloudpickle.dumps((task, self._seeds, stream, action_repeat, autoreset, environments))
        except Exception as error:  # pickling may raise any exception
            raise UserError(
                f"task '{task.name}' cannot be sent to a worker process ({type(error).__name__}: {error}): "
                "step it in this process (0 workers), or have the callable make what it needs"
            ) from error
        self._process, connection = _start(shared)
        self._channel = Channel(connection, self._process.pid, lambda: self._process.poll() is None)
        self.pid = self._process.pid
        self._send(arguments)

    def send(self, method: str, *arguments: Any) -> None:
        """Request a call of a method of `EnvSlots`, or "share" with the worker's slots: start, stop and N.

        Raises:
            EnvironmentFailure: The process has died.
        """
        self._send(pickle.dumps((method, arguments)))

    def send_step(self) -> None:
        """Request a step with the shared actions; the reply is None, and the results are shared.

        Raises:
            EnvironmentFailure: The process has died.
        """
        self._send(_STEP)

    def _send(self, request: bytes) -> None:
        try:
            self._channel.send(request)
        except (EOFError, OSError) as error:
            raise self._death() from error

    def receive(self) -> Any:
        """Wait for the reply to the oldest request.

        Raises:
            UserError: The task cannot be made.
            EnvironmentFailure: An environment failed, or the process died.
        """
        try:
            reply = self._channel.receive()
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

    def disconnect(self) -> None:
        """Close the channel, which ends the process as soon as it is idle."""
        self._channel.close()

    def join(self) -> bool:
        """Wait for the process to exit after `disconnect`; kill it if it hangs, and return whether that was needed."""
        try:
            self._process.wait(timeout=_exit_seconds(len(self._seeds)))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return True
        return False

    def _death(self) -> EnvironmentFailure:
        if self.join():  # killed here, so the exit code does not give the cause
            how = f"it closed its channel and had not exited {_exit_seconds(len(self._seeds)):g} s later"
        else:
            code = self._process.returncode
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        first = None if self._environments is None else self._environments[0]
        if len(set(self._seeds)) > 1:
            stepped = f"seeds {self._seeds[0]} to {self._seeds[-1]}"
        elif self._environments is not None and len(self._seeds) > 1:
            stepped = f"environments {first} to {self._environments[-1]}"
        else:
            stepped = "it"
        return EnvironmentFailure(self._seeds[0], f"the worker process that stepped {stepped} died ({how})", first)


def _start(shared: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker; return it and this process's end of the channel."""
    output, errors = third_party_descriptors()  # environments may print, and stdout belongs to this program
    try:
        parent_end, child_end = socket.socketpair()
        with child_end:
            descriptors = [child_end.fileno(), shared]
            arguments = map(str, (*descriptors, os.getpid()))
            process = subprocess.Popen(
                python_command(__name__, *arguments, descriptors=descriptors),
                env={**os.environ, **{name: _thread_count(name) for name in _ONE_THREAD}},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                pass_fds=descriptors,
                process_group=0,
            )
    except OSError as error:  # too many processes or open files, no memory
        raise UserError(
            f"cannot start a worker process: {error.strerror or error}; use fewer workers (0 steps in this process) or "
            "raise the limit (ulimit -a)"
        ) from error
    return process, parent_end


def _thread_count(variable: str) -> str:
    """Return the user's number of threads, "1" by default and in place of a value that is no number."""
    value = os.environ.get(variable, "").strip()
    return value if value.isascii() and value.isdigit() and int(value) > 0 else "1"


def main(arguments: Sequence[str]) -> None:
    """Run a worker until its channel closes.

    Args:
        arguments: Descriptors of the channel's socket and of the file of the `SharedStep`, and the parent's id.
    """
    channel, shared, parent = map(int, arguments)
    leave_to_parent()
    protect(required=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a display shows what environments print when they print it
    with contextlib.suppress(RuntimeError):  # no more threads
        threading.Thread(target=_outlive_briefly, args=(parent,), daemon=True).start()
    serve(Channel(socket.socket(fileno=channel), parent, lambda: os.getppid() == parent), shared)


def _outlive_briefly(parent: int) -> None:
    """Kill this process some time after its parent has died: an environment may hang."""
    while os.getppid() == parent:
        time.sleep(1.0)
    time.sleep(_ORPHAN_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def serve(channel: Channel, shared: int) -> None:
    """Make the slots, answer requests until the channel closes, and close the environments.

    Args:
        channel: Channel to the parent.
        shared: Descriptor of the file of the `SharedStep`.
    """
    slots: EnvSlots | None = None
    step: Callable[[], None] | None = None
    try:
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                request = channel.receive()
                try:
                    if slots is None:
                        slots = _make_slots(request)
                        reply = pickle.dumps(("value", slots.spaces))
                    elif request == _STEP:
                        assert step is not None
                        step()
                        reply = _STEP
                    else:
                        method, arguments = pickle.loads(request)
                        if method == "share":
                            step, value = _shared_stepper(slots, shared, *arguments), None
                        else:
                            value = getattr(slots, method)(*arguments)
                        reply = pickle.dumps(("value", value))
                except EnvironmentFailure as error:
                    reply = pickle.dumps(("failure", (error.seed, error.detail, error.environment)))
                except UserError as error:
                    reply = pickle.dumps(("user_error", str(error)))
                channel.send(reply)
    finally:
        if slots is not None:
            _close(slots)


def _shared_stepper(slots: EnvSlots, descriptor: int, start: int, stop: int, total: int) -> Callable[[], None]:
    """Return a function that takes a step with the shared actions and shares its results."""
    shared = SharedStep(descriptor, total, slots.spaces.observation_size, slots.spaces.action.size)
    chunk = slice(start, stop)
    # A copy: an environment may keep its action, and the next one is written to the same memory.
    return lambda: shared.write(slots.step(shared.actions[chunk].copy()), chunk)


def _close(slots: EnvSlots) -> None:
    """Close the environments, which may hold a robot or a port, in limited time.

    The parent may be dead, so an alarm ends the process if an environment hangs. Its default handler works in any code.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _exit_seconds(len(slots)))
    slots.close()


def _exit_seconds(environments: int) -> float:
    return _EXIT_SECONDS + environments * _CLOSE_SECONDS


def _make_slots(request: bytes) -> EnvSlots:
    try:
        arguments = pickle.loads(request)
    except Exception as error:  # unpickling imports the modules of a callable, which may raise anything
        raise UserError(
            f"the task cannot be loaded in a worker process ({type(error).__name__}: {error}): "
            "step it in this process (0 workers)"
        ) from error
    return EnvSlots(*arguments)
