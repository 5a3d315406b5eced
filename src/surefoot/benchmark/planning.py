"""Cost of a grid before it runs: updates, memory, disk and, from a short calibration, time."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from surefoot.algorithms import Algorithm, Learner
from surefoot.benchmark.attempts import ending_text
from surefoot.benchmark.grid import Cell
from surefoot.benchmark.launchers import UTF8
from surefoot.benchmark.train_step import TrainStep, flop_per_update
from surefoot.errors import RunFailure, UserError
from surefoot.machine import resolve_precision
from surefoot.processes import python_command, run_program
from surefoot.streams import emit, protect, separate_third_party_output, stdout
from surefoot.tasks import Task, make_vector
from surefoot.tasks.vector import choose_workers
from surefoot.training.config import TrainConfig
from surefoot.training.evaluation import environments_per_seed
from surefoot.training.memory import replay_bytes
from surefoot.training.plan import make_plan
from surefoot.types import EnvSpec

CALIBRATION_SECONDS = 30.0
_SECONDS_PER_SHAPE = 1.5
_SECONDS_PER_TASK = 0.7
_PROCESS_BYTES = 1_000_000_000
"""Memory of Python, JAX and a simulator: 0.8 to 1.2 GB measured on cheetah-run with one to five seeds."""
_DOG_BYTES = 400_000_000
"""Memory of the first dog of DM Control, next to that of its copies."""
_COPY_BYTES = {"dog": 75_000_000, "myosuite": 165_000_000, "other": 13_000_000}
"""Memory of one copy of an environment, measured: of DM Control's others 12.6 to 13.4 MB."""
_STATE_COPIES = 8
"""Memory of a learner in multiples of its parameters: parameters, gradients, Adam's moments, target, temporaries."""
_ROW_BYTES = 400
"""Size of one seed's row in training.csv."""
_CORNERS = ((16, 8), (48, 8), (16, 24))
_TYPICAL_SIZES = EnvSpec(observation_size=100, action_size=20)
"""Assumed for tasks that do not declare their sizes."""


@dataclass(frozen=True)
class CellCost:
    """Cost of a cell.

    Attributes:
        name: Name of the cell.
        env_steps: Simulator control steps of all seeds, evaluations included.
        grad_steps: Gradient updates of all seeds.
        flop: Operations of the matrix products in them.
        memory_bytes: Main memory of the process.
        disk_bytes: Size of its run directory: two checkpoints, the replay buffer, logs.
    """

    name: str
    env_steps: int
    grad_steps: int
    flop: float
    memory_bytes: int
    disk_bytes: int


def cell_cost(cell: Cell) -> CellCost:
    """Estimate the cost of a cell without running it.

    Args:
        cell: Cell of a grid.

    Raises:
        UserError: The cell is invalid.
    """
    config, task = cell.config(Path(cell.name)), cell.find_task()
    plan, spec = make_plan(config, task), _sizes(task)
    size = _size(config.algorithm.replace(name="custom", utd=1), spec)
    seeds, replay = len(plan.seeds), replay_bytes(plan, task, spec)
    updates = plan.grad_steps(config.algorithm.utd, plan.agent_steps) * seeds
    return CellCost(
        name=cell.name,
        env_steps=(config.env_steps + _evaluation_steps(config, task)) * seeds,
        grad_steps=updates,
        flop=updates * size.flop,
        memory_bytes=_PROCESS_BYTES
        + replay
        + round(_STATE_COPIES * 4 * size.parameters) * seeds
        + _simulator_bytes(config, task, seeds),
        disk_bytes=replay
        + 2 * round(size.state_bytes) * seeds
        + _ROW_BYTES * (config.env_steps // config.log_every) * seeds,
    )


def _simulator_bytes(config: TrainConfig, task: Task, seeds: int) -> int:
    """Return the memory of a run's environments, those of evaluations included."""
    copies = seeds * (config.num_envs + environments_per_seed(seeds, config.evaluation_episodes))
    if task.suite == "dmc" and task.name.startswith("dog-"):
        return _DOG_BYTES + copies * _COPY_BYTES["dog"]
    return copies * _COPY_BYTES.get(task.suite, _COPY_BYTES["other"])


class _Size(NamedTuple):
    """Size of one seed's learner."""

    flop: float
    """Operations of the matrix products in one update, the policy's divided by its delay."""
    parameters: float
    """Number of parameters of actor and critics."""
    state_bytes: float
    """Size of a checkpoint."""


def _size(algorithm: Algorithm, spec: EnvSpec) -> _Size:
    """Return the size for an environment, by interpolation: it is affine in the sizes of observation and action.

    Tracing takes a second per pair of sizes, and a grid may have many; three pairs determine all others.
    """
    base, more_observed, more_acted = (np.array(_traced(algorithm, EnvSpec(*sizes))) for sizes in _CORNERS)
    observed = (spec.observation_size - _CORNERS[0][0]) / (_CORNERS[1][0] - _CORNERS[0][0])
    acted = (spec.action_size - _CORNERS[0][1]) / (_CORNERS[2][1] - _CORNERS[0][1])
    return _Size(*(base + observed * (more_observed - base) + acted * (more_acted - base)).tolist())


@functools.cache
def _traced(algorithm: Algorithm, spec: EnvSpec) -> _Size:
    learner = Learner(algorithm, spec, discount=0.99)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    numbers = [leaf for leaf in jax.tree.leaves(state) if leaf.dtype != state.key.dtype]
    return _Size(
        flop_per_update(learner),
        sum(leaf.size for leaf in jax.tree.leaves((state.actor.params, state.critic.params))),
        sum(leaf.size * leaf.dtype.itemsize for leaf in numbers),
    )


def _evaluation_steps(config: TrainConfig, task: Task) -> int:
    return (config.env_steps // config.evaluate_every + 1) * config.evaluation_episodes * (task.horizon or 1000)


def _sizes(task: Task) -> EnvSpec:
    if task.observation_size is None or task.action_size is None:
        return _TYPICAL_SIZES
    return EnvSpec(task.observation_size, task.action_size)


# ---------------------------------------------------------------- calibration


@dataclass(frozen=True)
class Calibration:
    """Rates of this machine, measured in a process with the cores of one cell.

    Attributes:
        flop_per_second: Rate of operations in updates, by ``shape_of`` the measured cells.
        env_steps_per_second: Rate of a single environment, by measured task.
    """

    flop_per_second: dict[str, float]
    env_steps_per_second: dict[str, float]

    def seconds(self, cell: Cell, cost: CellCost, cores: int) -> float:
        """Return the estimated duration of a cell; unmeasured rates are assumed equal to the lowest measured one.

        Args:
            cell: Cell of a grid.
            cost: Cost of the cell.
            cores: Cores of the cell, which decide its number of environment workers.
        """
        rate = self.flop_per_second.get(shape_of(cell), min(self.flop_per_second.values()))
        steps = self.env_steps_per_second.get(_env_key(cell.find_task()), min(self.env_steps_per_second.values()))
        config = cell.config(Path(cell.name))
        slots = config.num_seeds * config.num_envs
        workers = choose_workers(slots, cores) if config.env_workers is None else config.env_workers
        parallel = 1 if cell.find_task().jax is not None else max(1, min(workers, slots))
        return cost.flop / rate + cost.env_steps / steps / parallel


def _env_key(task: Task) -> str:
    """Return a key of environments that take the same time."""
    return task.name if task.pool is None else f"{task.name} in EnvPool"


def shape_of(cell: Cell) -> str:
    """Return a key of cells whose updates have about the same rate of operations."""
    envs = cell.settings.get("num_envs", 1)
    seeds = f"{cell.label} utd{cell.algorithm().utd} x{cell.settings['num_seeds']}"
    return seeds if envs == 1 else f"{seeds} x{envs} envs"


def calibrate(
    cells: Sequence[Cell], costs: Sequence[CellCost], cores: int, seconds: float = CALIBRATION_SECONDS
) -> Calibration:
    """Measure in a separate process with the cores of a cell, the costliest shapes and tasks first.

    Args:
        cells: Cells of a grid.
        costs: Costs of the cells.
        cores: Number of cores to use.
        seconds: Approximate duration.

    Raises:
        RunFailure: The process failed.
    """
    shapes: dict[str, Cell] = {}
    for cell, _ in sorted(zip(cells, costs, strict=True), key=lambda pair: -pair[1].flop):
        shapes.setdefault(shape_of(cell), cell)
    tasks: dict[str, Cell] = {}
    for cell, _ in sorted(zip(cells, costs, strict=True), key=lambda pair: -pair[1].env_steps):
        tasks.setdefault(cell.find_task().name, cell)
    request = json.dumps(
        {
            "cells": [cell.to_data() for cell in shapes.values()],
            "tasks": [cell.to_data() for cell in tasks.values()],
            "seconds": seconds,
            "cores": cores,
        }
    )
    done = run_program(python_command(__name__), content=request.encode(), environment={**os.environ, **UTF8})
    if done.exit_code:
        raise RunFailure(f"the calibration failed: {done.last_line or ending_text(done.exit_code)}")
    return Calibration(**json.loads(done.output))


def _measure(cells: Sequence[Cell], of_tasks: Sequence[Cell], seconds: float) -> Calibration:
    """Measure updates for two thirds of the time, then tasks, in the given order; at least one of each.

    Args:
        cells: A cell of each shape.
        of_tasks: A cell of each task.
        seconds: Approximate duration.
    """
    start = time.monotonic()
    updates: dict[str, float] = {}
    for cell in cells:
        if not updates or time.monotonic() - start < 0.67 * seconds:
            updates[shape_of(cell)] = _flop_rate(cell)
    steps: dict[str, float] = {}
    for cell in of_tasks:
        if not steps or time.monotonic() - start < seconds:
            task = cell.find_task()
            config = cell.config(Path(cell.name))
            # One compiled program steps all environments written in JAX.
            slots = 1 if task.jax is None else config.num_seeds * config.num_envs
            steps[_env_key(task)] = _step_rate(task, slots)
    return Calibration(updates, steps)


def _flop_rate(cell: Cell) -> float:
    config, task = cell.config(Path(cell.name)), cell.find_task()
    precision = resolve_precision(config.precision)
    step = TrainStep(config.algorithm, _sizes(task), config.num_seeds, precision, config.num_envs)
    return step.updates_per_second(_SECONDS_PER_SHAPE) * flop_per_update(step.population.learner)


def _step_rate(task: Task, slots: int) -> float:
    """Return simulator control steps per second of some environments together."""
    with make_vector(task, list(range(slots)), "train") as vector:
        vector.reset([0] * slots)
        action = np.zeros((slots, vector.action_size), np.float32)
        vector.step(action)  # may compile
        steps, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < _SECONDS_PER_TASK:
            steps += int(vector.step(action).env_steps.sum())
    return steps / elapsed


def main(_: Sequence[str]) -> None:
    """Read a request from standard input and print the measurements."""
    protect()
    separate_third_party_output()
    try:
        _answer()
    except UserError as error:
        sys.exit(str(error))


def _answer() -> None:
    request = json.load(sys.stdin)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["cores"]])
    cells, of_tasks = ([Cell(**cell) for cell in request[key]] for key in ("cells", "tasks"))
    found = _measure(cells, of_tasks, request["seconds"])
    emit(json.dumps(vars(found)))
    stdout().flush()
