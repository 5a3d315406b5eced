"""Launcher of cells on a Ray cluster. The only file that imports Ray.

Every cell is a task that runs the cell's process on a node and waits for it. The grid's directory is on a shared file
system, so a cell whose node was lost resumes elsewhere from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TextIO, cast

from surefoot.benchmark.launchers import PARENT, UTF8, Job, JobEnd, open_log
from surefoot.benchmark.local_launcher import visible_gpus
from surefoot.benchmark.ray_output import RayOutput
from surefoot.control_groups import memory_limit
from surefoot.errors import MissingDependency, RunFailure, UserError
from surefoot.machine import free_host_memory, usable_cores
from surefoot.signals import blocked_in_children
from surefoot.streams import third_party_prints_to

try:
    # Read at import: no usage reports, no warnings in our output.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    # For a cluster started here: Ray would give its workers the lowest priority (nice 15).
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray
except ImportError as error:
    raise MissingDependency("ray", "ray", "--launcher ray") from error

STOP = "stop-requested"
"""File in the grid's directory at which the cells on all nodes stop with a checkpoint."""

LOG = "ray.log"
"""File among the logs of a grid's cells with what Ray prints in this process."""

_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""A client's preface and its empty SETTINGS frame (RFC 9113, section 3.4)."""
_HTTP2_SETTINGS = 4

_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.2


def run_cell(command: tuple[str, ...], log: str, stop_file: str) -> int:
    """Run a cell's process on this node; return its exit code.

    Args:
        command: Program and arguments.
        log: File that its output is appended to.
        stop_file: The process gets SIGTERM once this file exists.
    """
    # Cancelling a task (see ``stop``) interrupts a running one, which must wait for its process.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with open_log(Path(log)) as output:
            # It dies with this worker (see ``cell``), so that it never writes concurrently with its successor.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **UTF8, PARENT: str(os.getpid())},
            )
            stop_sent = False
            while (code := process.poll()) is None:
                if not stop_sent and os.path.exists(stop_file):
                    process.send_signal(signal.SIGTERM)
                    stop_sent = True
                time.sleep(_POLL_SECONDS)
        return code
    finally:
        signal.signal(signal.SIGINT, before)


class RayLauncher:
    """Runs jobs as tasks of a Ray cluster, each on a core and, if there are any, a GPU.

    Args:
        address: Address of an existing cluster's head ("host:port", or "auto"); None starts a cluster on this machine
            that ends with this object.
        max_parallel: Largest number of concurrent jobs; None leaves it to the cluster.

    Raises:
        UserError: No cluster answers at the address, or ``max_parallel`` is below 1.
    """

    def __init__(self, address: str | None, max_parallel: int | None) -> None:
        if max_parallel is not None and max_parallel < 1:
            raise UserError(f"max_parallel must be at least 1, got {max_parallel}")
        self._address, self._max_parallel = address, max_parallel
        self._tasks: dict[Any, Job] = {}
        self._stop_file: Path | None = None
        self._output = RayOutput()
        self._exits = contextlib.ExitStack()
        if address is not None and address != "auto":
            _require_cluster(address)
        self._connect()

    def _connect(self) -> None:
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if self._address is None:
            # Without "local" it would join any other cluster on this machine.
            settings |= {"address": "local", "include_dashboard": False, "num_gpus": len(visible_gpus())}
            settings |= {"num_cpus": usable_cores()}  # Ray itself does not consider all limits of containers and jobs
            if memory_limit() is not None:
                settings |= {"_memory": free_host_memory()}
        else:
            settings |= {"address": self._address}
        try:
            # A terminal that closes sends SIGHUP to the cluster's processes as well, and cells end with these.
            with _no_stderr(), blocked_in_children(signal.SIGHUP):
                ray.init(**settings)
        except KeyboardInterrupt:
            ray.shutdown()
            raise
        except Exception as error:  # Ray raises many kinds, a bare Exception among them
            where = "on this machine" if self._address in (None, "auto") else f"at {self._address}"
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"no Ray cluster {where}: {reason}") from error

    @property
    def _has_gpus(self) -> bool:
        """Whether the cluster has a GPU now; nodes may join at any time."""
        return bool(ray.cluster_resources().get("GPU", 0) >= 1)

    def describe(self) -> str:
        """Return a description of where jobs run."""
        resources = ray.cluster_resources()
        nodes = sum(node["Alive"] for node in ray.nodes())
        gpus = f", {resources['GPU']:.0f} GPUs" if self._has_gpus else ""
        return f"a Ray cluster of {nodes} node{'s' if nodes > 1 else ''}, {resources.get('CPU', 0):.0f} cores{gpus}"

    def has_room(self, job: Job) -> bool:
        """Return whether the job may be submitted; the cluster queues it."""
        return self._max_parallel is None or len(self._tasks) < self._max_parallel

    def start(self, job: Job) -> None:
        """Submit a job to the cluster."""
        self._output.open(job.log.parent / LOG)
        if self._stop_file is None:
            self._stop_file = job.log.parent.parent / STOP
            self._stop_file.unlink(missing_ok=True)
        has_gpus = self._has_gpus
        task = ray.remote(run_cell).options(
            num_cpus=1,
            num_gpus=1 if has_gpus else 0,
            memory=min(job.memory_bytes, _largest_memory()),  # a job too large for any node gets a node of its own
            max_retries=0,  # retries are decided by GridRun
            name=job.name,
            runtime_env={"env_vars": _environment(one_core=not has_gpus)},
        )
        self._tasks[task.remote(job.command, str(job.log), str(self._stop_file))] = job

    def wait(self, seconds: float) -> JobEnd | None:
        """Return the next job that ended, or None after ``seconds``.

        Raises:
            RunFailure: The cluster was lost.
        """
        if not self._tasks:
            time.sleep(seconds)
            return None
        try:
            ready, _ = ray.wait(list(self._tasks), timeout=seconds)
            if not ready:
                return None
            job = self._tasks.pop(ready[0])
            return JobEnd(job.name, ray.get(ready[0]))
        except ray.exceptions.WorkerCrashedError:
            return JobEnd(job.name, None, f"its Ray worker died, see logs/{LOG}")
        except (ray.exceptions.NodeDiedError, ray.exceptions.LocalRayletDiedError):
            return JobEnd(job.name, None, f"its node was lost, see logs/{LOG}")
        except ray.exceptions.TaskCancelledError:
            return JobEnd(job.name, -signal.SIGTERM)
        except ray.exceptions.OutOfMemoryError:  # Ray's own guard killed it
            return JobEnd(job.name, -signal.SIGKILL)
        except ray.exceptions.RayTaskError as error:
            raise RunFailure(f"{job.name} could not be started on its node: {str(error).splitlines()[-1]}") from error
        except ray.exceptions.RayError as error:
            raise RunFailure(
                f"the Ray cluster was lost: {str(error).splitlines()[0]}; continue with the same command"
            ) from error

    def stop(self) -> None:
        """Make running jobs stop with a checkpoint, and cancel queued ones."""
        if self._stop_file is not None:
            self._stop_file.touch()
        for task in self._tasks:
            # A running task ignores this (see ``run_cell``) and polls the file.
            ray.cancel(task, force=False, recursive=False)

    def __enter__(self) -> Self:
        """Separate what Ray prints."""
        self._exits.enter_context(third_party_prints_to(cast(TextIO, self._output)))
        return self

    def __exit__(self, *_: object) -> None:
        """Kill running jobs and disconnect."""
        for task in self._tasks:
            ray.cancel(task, force=True)
        if self._stop_file is not None:
            self._stop_file.unlink(missing_ok=True)
        ray.shutdown()
        self._exits.close()
        self._output.close()


def _environment(*, one_core: bool) -> dict[str, str]:
    """Return the environment variables that a cell's process needs on any node."""
    names = ["PYTHONPATH", "MUJOCO_GL", "JAX_PLATFORMS", "XLA_PYTHON_CLIENT_PREALLOCATE"]
    names += ["SUREFOOT_COMPILE_CACHE", "JAX_COMPILATION_CACHE_DIR"]
    found = {name: os.environ[name] for name in names if name in os.environ}
    # Ray does not pin tasks to cores; XLA would start a thread per core of the node in every cell.
    return found | ({"NPROC": "1"} if one_core else {})


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Discard what Ray's native library writes to standard error: a warning for every attempt to connect."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as devnull:
            os.dup2(devnull.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _largest_memory() -> int:
    """Return the memory of the node that has the most, in bytes."""
    return int(max(node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"]))


def _require_cluster(address: str) -> None:
    """Validate within seconds that a cluster answers at an address; Ray itself would try for minutes.

    Raises:
        UserError: Nothing listens there, or the server does not use HTTP/2, as the head of a cluster does.
    """
    host, _, port = address.rpartition(":")
    expected = "expected host:port of its head, such as 10.0.0.1:6379, or auto"
    if not (host and port.isascii() and port.isdigit()):
        raise UserError(f"no Ray cluster answers at {address!r}: {expected}")
    try:
        answer = _greet(host.strip("[]"), int(port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"no Ray cluster answers at {address!r} ({reason}): {expected}") from error
    if os.environ.get("RAY_USE_TLS") != "1" and answer[3:4] != bytes([_HTTP2_SETTINGS]):
        raise UserError(f"no Ray cluster answers at {address!r} (something else listens there): {expected}")


def _greet(host: str, port: int) -> bytes:
    """Return the first bytes of a server's answer to an HTTP/2 client; empty without an answer."""
    with socket.create_connection((host, port), timeout=_CONNECT_SECONDS) as connection:
        connection.sendall(_HTTP2_GREETING)
        try:
            return connection.recv(9)
        except (TimeoutError, ConnectionError):
            return b""
