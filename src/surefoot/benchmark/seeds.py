"""How many agents side by side keep a device busy: the update alone, for one number of seeds after the other."""

from __future__ import annotations

import dataclasses
import gc
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from surefoot import replay
from surefoot.algorithms.presets import crossq_wn
from surefoot.benchmark.updates import Bench
from surefoot.errors import UserError
from surefoot.machine import Precision, check_precision, device_name
from surefoot.tasks import get_task, make_vector
from surefoot.types import EnvSpec

_CAPACITY = 10_000
_ROUNDS = 3


@dataclass(frozen=True)
class SeedsRow:
    """One number of seeds.

    Attributes:
        num_seeds: agents side by side.
        updates_per_second: of all agents together, the median of three measurements.
        low, high: the smallest and the largest of them.
        gflops: matrix products at that speed, 10^9 operations per second.
        compile_seconds: of the train step.
        replay_bytes: of all replay buffers, as predicted.
        peak_bytes: of the device's memory in use at most so far; None where the device does not say.
    """

    num_seeds: int
    updates_per_second: float
    low: float
    high: float
    gflops: float
    compile_seconds: float
    replay_bytes: int
    peak_bytes: int | None


def measure_seeds(
    task_name: str,
    utd: int,
    seeds: Sequence[int],
    precision: Precision,
    seconds: float = 1.0,
) -> Iterator[SeedsRow]:
    """Measure each number of seeds on the default device, one after the other.

    Args:
        task_name: whose sizes the networks have; it is not played.
        utd: gradient updates per agent step.
        seeds: numbers of agents.
        precision: of the updates' products.
        seconds: per measurement.

    Raises:
        UserError: no such task.
    """
    task = get_task(task_name)
    with make_vector(task, [0], "train") as vector:
        spec = EnvSpec(vector.observation_size, vector.action_size)
    algorithm = crossq_wn(utd=utd)
    for number in seeds:
        gc.collect()  # The buffers of the number before.
        observation = np.zeros((number, spec.observation_size), np.float32)
        bench = Bench(algorithm, spec, task.discount, observation, precision, _CAPACITY)
        rates = [_rate(bench, seconds) * utd * number for _ in range(_ROUNDS)]
        yield SeedsRow(
            num_seeds=number,
            updates_per_second=statistics.median(rates),
            low=min(rates),
            high=max(rates),
            gflops=statistics.median(rates) * bench.gflop_per_update(),
            compile_seconds=bench.compile_seconds,
            replay_bytes=number * replay.nbytes(spec, _CAPACITY, replay.frame_capacity(_CAPACITY, 500)),
            peak_bytes=(jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"),
        )
        del bench


def _rate(bench: Bench, seconds: float) -> float:
    """Agent steps per second, each of all seeds."""
    calls, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        bench.update(1)
        calls += 1
    return calls / passed


def measure_and_print(
    task_name: str, utd: int, seeds: Sequence[int], precision: Precision, out: Path, seconds: float = 1.0
) -> int:
    """Measure, print a line each and what share of the best each reaches, write JSON; return the exit code."""
    if not seeds:
        raise UserError("num_seeds names no number of agents: expected some, such as 1 10 64")
    check_precision(precision)
    for name, values in (("utd", [utd]), ("num_seeds", seeds)):
        if wrong := [value for value in values if value < 1]:
            raise UserError(f"{name} must be at least 1, got {wrong[0]}")
    print(f"{device_name()}, {task_name}'s sizes, UTD {utd}, {precision}", flush=True)
    data: dict[str, Any] = {"device": device_name(), "task": task_name, "utd": utd, "precision": precision, "rows": []}
    rows = []
    for row in measure_seeds(task_name, utd, seeds, precision, seconds):
        rows.append(row)
        print(_line(row), flush=True)
        data["rows"].append(dataclasses.asdict(row))
        try:  # After every row: the device may not have room for the next.
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(data, indent=2) + "\n")
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror}") from error
    best = max(row.updates_per_second for row in rows)
    shares = (f"{row.num_seeds} seeds {row.updates_per_second / best:.0%}" for row in rows)
    print(f"of the most: {', '.join(shares)}")
    print(f"written to {out}")
    return 0


def _line(row: SeedsRow) -> str:
    memory = "" if row.peak_bytes is None else f", at most {row.peak_bytes / 2**20:,.0f} MiB in use so far"
    return (
        f"{row.num_seeds:>5} seeds  {row.updates_per_second:>9,.0f} updates/s ({row.low:,.0f} to {row.high:,.0f})  "
        f"{row.gflops / 1e3:.2f} TFLOP/s, compiled in {row.compile_seconds:.1f} s, "
        f"buffers {row.replay_bytes / 2**20:,.0f} MiB{memory}"
    )
