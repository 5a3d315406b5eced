"""Update rates of presets, precisions and numbers of seeds, as shares of this machine's matrix products.

    python -m benchmarks.speed --presets crossq-wn sac --precisions float32 bf16 --num-seeds 1 10

The speed of shared machines changes within seconds, so every round measures the training step, a 512 x 512 product and,
where it is installed, SBX's CrossQ, one after the other; only the ratios compare between machines. Results are written
after every row.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.sbx_peer import SbxPeer, open_peer
from surefoot.algorithms.presets import get_preset, list_presets
from surefoot.benchmark.train_step import TrainStep, flop_per_update
from surefoot.errors import UserError
from surefoot.machine import PRECISIONS, device_name, resolve_precision
from surefoot.tasks import get_task
from surefoot.types import EnvSpec

SBX_PYTHON = Path(".bench/sbx/bin/python")
"""Where ``make bench`` installs SBX."""

MATRIX_SIZE = 512
"""Rows and columns of the reference product, about the size of the products in an update."""

_HEADER = "preset           precision  seeds  updates/s (low to high)     GFLOP/update  of 512^3 float32  compile"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    args = _parse(arguments)
    task = get_task(args.task)
    if task.observation_size is None or task.action_size is None:
        raise UserError(f"{task.name} does not declare its sizes: choose a task of DM Control or MyoSuite")
    for precision in args.precisions:
        resolve_precision(precision)
    spec = EnvSpec(task.observation_size, task.action_size)
    data: dict[str, Any] = {"device": device_name(), "task": task.name, "utd": args.utd, "rows": []}
    print(f"{data['device']}, sizes of {task.name}, UTD {args.utd}\n{_HEADER}", flush=True)
    deadline = time.monotonic() + 60.0 * args.minutes
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with _sbx(args, spec) as peer:
        for preset, precision, num_seeds in itertools.product(args.presets, args.precisions, args.num_seeds):
            if time.monotonic() > deadline:
                print(f"stopped after {args.minutes} minutes")
                break
            gc.collect()  # frees the previous row's buffers
            step = TrainStep(get_preset(preset, utd=args.utd), spec, num_seeds, precision)
            compared = peer if preset.startswith("crossq") and num_seeds == 1 else None
            row = {"preset": preset, "precision": precision, "num_seeds": num_seeds}
            row |= measure(step, compared, args.rounds, args.seconds)
            data["rows"].append(row)
            print(_line(row), flush=True)
            args.out.write_text(json.dumps(data, indent=2) + "\n")
    print(f"written to {args.out}")


def measure(step: TrainStep, peer: SbxPeer | None, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the medians, lows and highs over the rounds of rates and of ratios within a round.

    Args:
        step: Training step to measure.
        peer: SBX's CrossQ to compare with; None for no comparison.
        rounds: Number of measurements of each part.
        seconds: Approximate length of one measurement.
    """
    parts: dict[str, Callable[[int], float]] = {"update": timed(step.run), "product": timed(products())}
    units = {"update": step.updates_per_call, "product": 2.0 * MATRIX_SIZE**3 / 1e9}
    if peer is not None:
        parts["sbx"], units["sbx"] = peer.run, peer.utd
    calls = {name: calls_for(part, seconds) for name, part in parts.items()}
    rates: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            rates[name].append(units[name] * calls[name] / part(calls[name]))
    gflop = flop_per_update(step.population.learner) / 1e9
    row: dict[str, Any] = {
        "updates_per_second": spread(rates["update"]),
        "gflop_per_update": gflop,
        "product_gflops": spread(rates["product"]),
        "share_of_product": spread(ratios(rates["update"], rates["product"], gflop)),
        "compile_seconds": step.compile_seconds,
        "peak_bytes": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"),
    }
    if peer is not None:
        row |= {"sbx": peer.versions, "sbx_updates_per_second": spread(rates["sbx"])}
        row["over_sbx"] = spread(ratios(rates["update"], rates["sbx"]))
    return row


def products() -> Callable[[int], None]:
    """Return a function that multiplies 512 x 512 float32 matrices a given number of times."""
    matrix = jax.random.normal(jax.random.key(0), (MATRIX_SIZE, MATRIX_SIZE))
    other = matrix / np.sqrt(MATRIX_SIZE)  # scaled so that repeated products stay finite

    @jax.jit
    def repeated(count: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, count, lambda _, x: jnp.dot(x, other), matrix)

    def run(calls: int) -> None:
        repeated(np.int32(calls)).block_until_ready()

    return run


def timed(function: Callable[[int], None]) -> Callable[[int], float]:
    """Return a function of a number of calls that returns the seconds they took."""

    def part(calls: int) -> float:
        start = time.perf_counter()
        function(calls)
        return time.perf_counter() - start

    return part


def calls_for(part: Callable[[int], float], seconds: float) -> int:
    """Return the number of calls that takes about ``seconds``."""
    part(1)
    calls = 1
    while (taken := part(calls)) < 0.2 * seconds:
        calls *= 2
    return max(1, round(calls * seconds / taken))


def ratios(values: list[float], others: list[float], factor: float = 1.0) -> list[float]:
    """Return ``factor * value / other`` of each round."""
    return [factor * value / other for value, other in zip(values, others, strict=True)]


def spread(values: list[float]) -> dict[str, float]:
    """Return median, smallest and largest value."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def _line(row: dict[str, Any]) -> str:
    rate, share = row["updates_per_second"], row["share_of_product"]["median"]
    numbers = f"{rate['median']:,.1f} ({rate['low']:,.1f} to {rate['high']:,.1f})"
    line = f"{row['preset']:<15}  {row['precision']:<9}  {row['num_seeds']:>5}  {numbers:<26}"
    line += f"  {row['gflop_per_update']:>12.2f}  {share:>16.0%}  {row['compile_seconds']:>5.1f} s"
    if "over_sbx" in row:
        line += f"\n  {row['over_sbx']['median']:.2f} times the {row['sbx_updates_per_second']['median']:.1f} updates/s"
        line += f" of SBX {row['sbx']['sbx']} CrossQ"
    return line


@contextlib.contextmanager
def _sbx(args: argparse.Namespace, spec: EnvSpec) -> Iterator[SbxPeer | None]:
    """Yield SBX's CrossQ, or None where it is not installed or computes on another kind of device."""
    python = args.sbx or (SBX_PYTHON if SBX_PYTHON.exists() else None)
    if python is None:
        yield None
        return
    with open_peer(python, spec.observation_size, spec.action_size, args.utd) as peer:
        yield peer if peer.versions["device"] == jax.default_backend() else None


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure update rates.", allow_abbrev=False)
    names = [preset.name for preset in list_presets()]
    parser.add_argument("--presets", nargs="+", default=["crossq-wn"], choices=names, metavar="PRESET")
    parser.add_argument("--precisions", nargs="+", default=["float32"], choices=PRECISIONS)
    parser.add_argument("--num-seeds", nargs="+", type=_positive, default=[1], metavar="N")
    parser.add_argument("--utd", type=_positive, default=5, metavar="N", help="gradient updates per agent step")
    parser.add_argument("--task", default="cheetah-run", help="task that decides the sizes of the networks")
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, help="approximate length of one measurement")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no further row after this time")
    parser.add_argument("--sbx", type=Path, help=f"a Python with sbx-rl (default: {SBX_PYTHON}, if it exists)")
    parser.add_argument("--out", type=Path, default=Path(".bench/speed.json"), help="JSON file of the results")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


if __name__ == "__main__":
    main()
