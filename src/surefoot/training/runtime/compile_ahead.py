"""Compilation in a thread, of programs that a run needs later."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from surefoot.training.plan import Plan
from surefoot.training.population import Population, PopulationState


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


def train_programs(
    population: Population, shapes: PopulationState, plan: Plan, overlap: bool
) -> Mapping[tuple[int, bool], Callable[[], jax.stages.Lowered]]:
    """Return functions that lower the programs of a run's vector steps, in the order in which they are needed.

    Args:
        population: Functions of the learners.
        shapes: Its state, of which only the shapes are used.
        plan: Resolved numbers of the run.
        overlap: Whether environments and updates overlap, so that the updates are a program of their own.

    Returns:
        By number of updates, and whether the next actions are uniform.
    """
    updates = population.default_updates(shapes)
    steps = [(0, True)] if plan.random_steps > plan.num_envs else []
    if plan.warmup_steps or overlap:
        steps.append((0, False))
    if not overlap:
        steps.append((updates, False))
    programs = {step: functools.partial(population.lower_train_step, shapes, *step) for step in steps}
    if overlap:
        programs[updates, False] = functools.partial(population.lower_update, shapes, updates)
    return programs


def _compile(lower: Callable[[], jax.stages.Lowered]) -> jax.stages.Compiled:
    return lower().compile()
