"""Launcher of cells on this machine, as its cores, memory and GPUs allow."""

from __future__ import annotations

import contextlib
import os
import pkgutil
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import BinaryIO, Self

from surefoot.benchmark.launchers import PARENT, UTF8, Job, JobEnd, open_log
from surefoot.errors import UserError
from surefoot.machine import core_numbers, usable_cores

_POLL_SECONDS = 0.1


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    log: BinaryIO
    slot: int
    memory_bytes: int


class LocalLauncher:
    """Runs jobs as processes of this machine.

    Each gets its own cores, because concurrent programs that each use all cores are slower than sequential ones, and
    its own GPU if there are any.

    Args:
        jobs: Total number of jobs: fewer jobs than cores get more cores each.
        max_parallel: Largest number of concurrent jobs; None for no limit.
        memory_bytes: Memory for all jobs.
        job_bytes: Memory of the largest job: if memory limits their number, each gets more cores.

    Raises:
        UserError: ``max_parallel`` is below 1.
    """

    def __init__(self, jobs: int, max_parallel: int | None, memory_bytes: int, job_bytes: int = 0) -> None:
        if max_parallel is not None and max_parallel < 1:
            raise UserError(f"max_parallel must be at least 1, got {max_parallel}")
        self._gpus = visible_gpus()
        cores = _cores()
        fitting = max(1, memory_bytes // job_bytes) if job_bytes else len(cores)
        most = min(len(self._gpus) or len(cores), len(cores), max_parallel or len(cores), max(1, jobs), fitting)
        self._cores = [cores[i * len(cores) // most : (i + 1) * len(cores) // most] for i in range(most)]
        self._memory_bytes = memory_bytes
        self._running: dict[str, _Running] = {}

    @property
    def slots(self) -> int:
        """Number of concurrent jobs."""
        return len(self._cores)

    @property
    def cores_each(self) -> int:
        """Number of cores of the job with the fewest."""
        return min(map(len, self._cores))

    def describe(self) -> str:
        """Return a description of where jobs run."""
        slots, each = self.slots, self.cores_each
        where = "a GPU each" if self._gpus else f"{each} core{'s' if each > 1 else ''} each"
        return f"this machine, {slots} cell{'s' if slots > 1 else ''} at once, {where}"

    def has_room(self, job: Job) -> bool:
        """Return whether there are cores and memory for the job. A job too large for the machine runs alone."""
        taken = sum(own.memory_bytes for own in self._running.values())
        fits = not self._running or taken + job.memory_bytes <= self._memory_bytes
        return len(self._running) < len(self._cores) and fits

    def start(self, job: Job) -> None:
        """Start a job on the first free cores.

        Raises:
            RunFailure: Its log cannot be written.
        """
        slot = min(set(range(len(self._cores))) - {own.slot for own in self._running.values()})
        environment = {**os.environ, **UTF8, PARENT: str(os.getpid())}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot]
        log = open_log(job.log)
        # In a session of its own, so that Ctrl-C only reaches this process, which then stops its jobs.
        process = subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        if hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):  # it may have ended
                os.sched_setaffinity(process.pid, self._cores[slot])
        self._running[job.name] = _Running(process, log, slot, job.memory_bytes)

    def wait(self, seconds: float) -> JobEnd | None:
        """Return the next job that ended, or None after ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            for name, own in self._running.items():
                if (code := own.process.poll()) is not None:
                    self._close(name)
                    return JobEnd(name, code)
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Send SIGTERM to every running job."""
        for own in self._running.values():
            _signal(own.process, signal.SIGTERM)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill running jobs."""
        for own in self._running.values():
            _signal(own.process, signal.SIGKILL)
            own.process.wait()
        for name in list(self._running):
            self._close(name)

    def _close(self, name: str) -> None:
        self._running.pop(name).log.close()


def _cores() -> list[int]:
    """Return as many of this process's cores as it may use the time of.

    Under a CPU quota these are any of them: launchers in several containers must not choose the same ones.
    """
    cores, usable = core_numbers(), usable_cores()
    first = random.randrange(len(cores) - usable + 1)
    return cores[first : first + usable]


def visible_gpus() -> list[str]:
    """Return an entry of CUDA_VISIBLE_DEVICES for each NVIDIA GPU that this process may use."""
    if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
        return []
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [entry for entry in named.split(",") if entry.strip() not in ("", "-1")]
    if not _has_cuda_plugin():
        return []
    # CUDA counts the devices that it finds, whose files keep the host's numbers in a container.
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def _has_cuda_plugin() -> bool:
    """Return whether JAX's GPU build is installed."""
    names = [entry.name for entry in metadata.entry_points(group="jax_plugins")]
    if (found := util.find_spec("jax_plugins")) is not None:
        names += [module.name for module in pkgutil.iter_modules(found.submodule_search_locations)]
    return any("cuda" in name for name in names)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
