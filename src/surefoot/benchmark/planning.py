"""What a grid will cost, before it runs: updates, memory, disk, and from a short calibration, time."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from surefoot.algorithms import Algorithm, Learner
from surefoot.benchmark.grid import Cell
from surefoot.benchmark.train_step import TrainStep, flop_per_update
from surefoot.errors import RunFailure, UserError
from surefoot.machine import resolve_precision
from surefoot.tasks import Task, get_task, make_vector
from surefoot.tasks.vector import choose_workers
from surefoot.training.config import TrainConfig
from surefoot.training.memory import replay_bytes
from surefoot.training.plan import make_plan
from surefoot.types import EnvSpec

CALIBRATION_SECONDS = 30.0
_SECONDS_PER_SHAPE = 1.5
_SECONDS_PER_TASK = 0.7
_PROCESS_BYTES = 900_000_000
"""Python, JAX with its compiled programs, a simulator: 0.8 to 1.2 GB measured on cheetah-run, one to five seeds."""
_STATE_COPIES = 8
"""Times the trained parameters that a learner takes while it updates: parameters, gradients, Adam's two, the target."""
_ROW_BYTES = 400
"""Of one seed in training.csv."""
_CORNERS = ((16, 8), (48, 8), (16, 24))
_TYPICAL_SIZES = EnvSpec(observation_size=100, action_size=20)
"""Of tasks that do not say before they are made."""


@dataclass(frozen=True)
class CellCost:
    """What one cell takes.

    Attributes:
        name: the cell's.
        env_steps: simulator control steps, all seeds together, evaluations included.
        grad_steps: gradient updates, all seeds together.
        flop: of the matrix products in them.
        memory_bytes: of the process.
        disk_bytes: of its run directory: two checkpoints, the replay buffer, logs.
    """

    name: str
    env_steps: int
    grad_steps: int
    flop: float
    memory_bytes: int
    disk_bytes: int


def cell_cost(cell: Cell) -> CellCost:
    """Work out what a cell takes, without running any of it.

    Args:
        cell: of a grid.

    Raises:
        UserError: the cell cannot be run.
    """
    config, task = cell.config(Path(cell.name)), get_task(cell.task)
    plan, spec = make_plan(config, task), _sizes(task)
    size = _size(config.algorithm.replace(name="custom", utd=1), spec)
    seeds, replay = len(plan.seeds), replay_bytes(plan, task, spec)
    updates = config.algorithm.utd * max(0, plan.agent_steps - plan.warmup_steps) * seeds
    return CellCost(
        name=cell.name,
        env_steps=(config.env_steps + _evaluation_steps(config, task)) * seeds,
        grad_steps=updates,
        flop=updates * size.flop,
        memory_bytes=_PROCESS_BYTES + replay + round(_STATE_COPIES * 4 * size.parameters) * seeds,
        disk_bytes=replay
        + 2 * round(size.state_bytes) * seeds
        + _ROW_BYTES * (config.env_steps // config.log_every) * seeds,
    )


class _Size(NamedTuple):
    """Of one seed's learner."""

    flop: float
    """Of the matrix products of one update, the policy's by its delay."""
    parameters: float
    """Of actor and critics."""
    state_bytes: float
    """Of everything a checkpoint holds."""


def _size(algorithm: Algorithm, spec: EnvSpec) -> _Size:
    """Return the size for an environment: each number is affine in the sizes of observation and action.

    Tracing takes a second for each pair of sizes, and a grid may have hundreds; three pairs tell all of them.
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
    """What this machine did in a short time, in a process that used the cores of one cell.

    Attributes:
        flop_per_second: of gradient updates, by algorithm label and number of seeds that were measured.
        env_steps_per_second: of single environments, by task that was measured.
    """

    flop_per_second: dict[str, float]
    env_steps_per_second: dict[str, float]

    def seconds(self, cell: Cell, cost: CellCost, cores: int) -> float:
        """Return the estimated duration of a cell; what was not measured is taken as the slowest that was.

        Args:
            cell: of a grid.
            cost: its own.
            cores: that it has: its environments are stepped by as many workers as training would start.
        """
        rate = self.flop_per_second.get(shape_of(cell), min(self.flop_per_second.values()))
        steps = self.env_steps_per_second.get(cell.task, min(self.env_steps_per_second.values()))
        config = cell.config(Path(cell.name))
        workers = choose_workers(config.num_seeds, cores) if config.env_workers is None else config.env_workers
        return cost.flop / rate + cost.env_steps / steps / max(1, min(workers, config.num_seeds))


def shape_of(cell: Cell) -> str:
    """Return what two cells have in common whose updates take equally long per operation, nearly."""
    return f"{cell.label} utd{cell.algorithm().utd} x{cell.settings['num_seeds']}"


def calibrate(
    cells: Sequence[Cell], costs: Sequence[CellCost], cores: int, seconds: float = CALIBRATION_SECONDS
) -> Calibration:
    """Measure in a process of its own, on as many cores as a cell gets: the costliest shapes and tasks first.

    Args:
        cells: of a grid.
        costs: of each of them.
        cores: of the process.
        seconds: about how long it takes.

    Raises:
        RunFailure: that process failed.
    """
    shapes: dict[str, Cell] = {}
    for cell, _ in sorted(zip(cells, costs, strict=True), key=lambda pair: -pair[1].flop):
        shapes.setdefault(shape_of(cell), cell)
    busiest = sorted(zip(cells, costs, strict=True), key=lambda pair: -pair[1].env_steps)
    request = json.dumps(
        {
            "cells": [cell.to_data() for cell in shapes.values()],
            "tasks": list(dict.fromkeys(cell.task for cell, _ in busiest)),
            "seconds": seconds,
            "cores": cores,
        }
    )
    command = [sys.executable, "-m", "surefoot.benchmark.planning"]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise RunFailure(f"the calibration failed: {last[-1]}")
    return Calibration(**json.loads(done.stdout.splitlines()[-1]))


def _measure(cells: Sequence[Cell], tasks: Sequence[str], seconds: float) -> Calibration:
    """Measure updates for two thirds of the time, then tasks, each in the given order; at least one of each."""
    began = time.monotonic()
    updates: dict[str, float] = {}
    for cell in cells:
        if not updates or time.monotonic() - began < 0.67 * seconds:
            updates[shape_of(cell)] = _flop_rate(cell)
    steps: dict[str, float] = {}
    for task in tasks:
        if not steps or time.monotonic() - began < seconds:
            steps[task] = _step_rate(get_task(task))
    return Calibration(updates, steps)


def _flop_rate(cell: Cell) -> float:
    config, task = cell.config(Path(cell.name)), get_task(cell.task)
    step = TrainStep(config.algorithm, _sizes(task), config.num_seeds, resolve_precision(config.precision))
    return step.updates_per_second(_SECONDS_PER_SHAPE) * flop_per_update(step.population.learner)


def _step_rate(task: Task) -> float:
    """Return control steps per second of one environment."""
    with make_vector(task, [0], "evaluate") as vector:
        vector.reset([0])
        action, steps, began = np.zeros((1, vector.action_size), np.float32), 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < _SECONDS_PER_TASK:
            steps += int(vector.step(action).env_steps[0])
    return steps / elapsed


def main() -> None:
    """Read a request from standard input, measure, and print the answer as the last line."""
    request = json.load(sys.stdin)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["cores"]])
    found = _measure([Cell(**cell) for cell in request["cells"]], request["tasks"], request["seconds"])
    print(json.dumps(vars(found)))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
