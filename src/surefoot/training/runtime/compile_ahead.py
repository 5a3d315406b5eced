"""Compilation in a thread, of programs that a run needs later."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax


class CompileAhead:
    """Traces and compiles programs one after the other, in a thread.

    XLA compiles without Python's global lock, so environments are stepped meanwhile. The jitted functions find the
    result in JAX's own caches.

    Args:
        programs: Functions that lower a program, in the order in which the programs are needed.
    """

    def __init__(self, programs: Mapping[Any, Callable[[], jax.stages.Lowered]]) -> None:
        self._executor = ThreadPoolExecutor(1, "compilation")
        self._jobs: dict[Hashable, Future[jax.stages.Compiled]] = {}
        with contextlib.suppress(RuntimeError):  # No more threads: the jitted functions compile when they are called.
            for key, lower in programs.items():
                self._jobs[key] = self._executor.submit(_compile, lower)
        self._executor.shutdown(wait=False)  # the thread ends after the last program

    def wait(self, key: Hashable) -> None:
        """Wait for a program's compilation, the first time it is asked for; it need not be one of them.

        A failure is left to the jitted function, which compiles again: JAX's context managers do not reach the thread.
        """
        if self._jobs and (job := self._jobs.pop(key, None)) is not None:
            job.exception()

    def close(self) -> None:
        """Wait for the program that is being compiled and leave out the others. Idempotent.

        A process must not end while another thread compiles.
        """
        self._executor.shutdown(cancel_futures=True)


def _compile(lower: Callable[[], jax.stages.Lowered]) -> jax.stages.Compiled:
    return lower().compile()
