"""Update rates of presets, precisions and numbers of seeds, as shares of this machine's matrix products.

    python -m benchmarks.speed --presets crossq-wn sac --precisions float32 bf16 --num-seeds 1 10
    python -m benchmarks.speed --presets all --precisions float32 bf16 --utd 2

The second command makes the table of docs/performance.md. The speed of shared machines changes within seconds, so every
round measures, one after the other, the training step in each precision, a 512 x 512 product in each precision and,
where it is installed, SBX's CrossQ; only the ratios compare between machines. After every preset and number of seeds
the results are written: all of them as JSON, and as a Markdown table beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import run_program
from benchmarks.sbx_peer import SbxPeer, open_peer
from surefoot.algorithms.presets import get_preset, list_presets
from surefoot.benchmark.train_step import TrainStep, flop_per_update
from surefoot.errors import UserError
from surefoot.machine import PRECISIONS, Precision, device_name, resolve_precision
from surefoot.networks.matmul import dot_general, matmul_precision
from surefoot.tasks import get_task
from surefoot.types import EnvSpec

SBX_PYTHON = Path(".bench/sbx/bin/python")
"""Where ``make bench`` installs SBX."""

MATRIX_SIZE = 512
"""Rows and columns of the reference product, about the size of the products in an update."""

COMPILE_SECONDS = {
    "cpu": {"float32": 6.0, "bf16": 6.0},
    "gpu": {"float32": 61.0, "tf32": 20.0, "bf16": 20.0},
}
"""Longest compilation measured, by kind of device: the estimate for the first rows."""

_HEADER = "preset           precision  seeds  updates/s (low to high)     GFLOP/update  of its products  compile"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, write JSON and Markdown."""
    start = time.monotonic()
    args = _parse(arguments)
    task = get_task(args.task)
    if task.observation_size is None or task.action_size is None:
        raise UserError(f"{task.name} does not declare its sizes: choose a task of DM Control or MyoSuite")
    for precision in args.precisions:
        resolve_precision(precision)
    spec = EnvSpec(task.observation_size, task.action_size)
    data: dict[str, Any] = {"device": device_name(), "task": task.name, "utd": args.utd or "own"}
    data |= {"xla_flags": os.environ.get("XLA_FLAGS", ""), "rows": []}
    print(f"{data['device']}, sizes of {task.name}, UTD {data['utd']} {data['xla_flags']}\n{_HEADER}", flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    took: list[float] = []
    with _sbx(args, spec) as peer:
        for preset, num_seeds in itertools.product(args.presets, args.num_seeds):
            begin = time.monotonic()
            needed = max(took, default=first_seconds(args.precisions, args.rounds, args.seconds))
            if (left := start + 60.0 * args.minutes - begin) < needed:
                print(f"{preset}, {num_seeds} seeds, and all after it: not measured, {left:.0f} s left of {needed:.0f}")
                break
            gc.collect()  # frees the previous row's buffers
            algorithm = get_preset(preset, utd=args.utd)
            steps = {precision: TrainStep(algorithm, spec, num_seeds, precision) for precision in args.precisions}
            compared = peer if preset.startswith("crossq") and num_seeds == 1 else None
            for row in measure(steps, compared, args.rounds, args.seconds):
                data["rows"].append({"preset": preset, "utd": str(algorithm.utd), "num_seeds": num_seeds} | row)
                print(_line(data["rows"][-1]), flush=True)
            args.out.write_text(json.dumps(data, indent=2) + "\n")
            args.out.with_suffix(".md").write_text(markdown(data))
            took.append(time.monotonic() - begin)
    print(f"written to {args.out} and {args.out.with_suffix('.md')}" if took else "nothing was measured")


def first_seconds(precisions: Sequence[Precision], rounds: int, seconds: float) -> float:
    """Return the expected duration of a row before any was measured, in seconds.

    Args:
        precisions: Precisions measured in the row.
        rounds: Number of measurements of each part.
        seconds: Approximate length of one measurement.
    """
    compilation = COMPILE_SECONDS["cpu" if jax.default_backend() == "cpu" else "gpu"]
    # Of every precision an update and a product, each also calibrated once.
    return sum(compilation[precision] + 2.0 * (rounds + 1) * seconds for precision in precisions)


def measure(
    steps: Mapping[Precision, TrainStep], peer: SbxPeer | None, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Return, by precision, the medians, lows and highs over the rounds of rates and of ratios within a round.

    Args:
        steps: Training step in each precision.
        peer: SBX's CrossQ to compare with; None for no comparison.
        rounds: Number of measurements of each part.
        seconds: Approximate length of one measurement.
    """
    parts: dict[str, Callable[[int], float]] = {}
    units: dict[str, float] = {}
    for precision, step in steps.items():
        parts[precision], units[precision] = timed(step.run), step.updates_per_call
        parts[f"{precision} product"] = timed(products(precision))
        units[f"{precision} product"] = 2.0 * MATRIX_SIZE**3 / 1e9
    if peer is not None:
        parts["sbx"], units["sbx"] = peer.run, peer.utd
    calls = {name: calls_for(part, seconds) for name, part in parts.items()}
    rates: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            rates[name].append(units[name] * calls[name] / part(calls[name]))
    rows = []
    for precision, step in steps.items():
        gflop = flop_per_update(step.population.learner) / 1e9
        updates, limit = rates[precision], rates[f"{precision} product"]
        row: dict[str, Any] = {
            "precision": precision,
            "updates_per_second": spread(updates),
            "gflop_per_update": gflop,
            "product_gflops": spread(limit),
            "share_of_product": spread(ratios(updates, limit, gflop)),
            "compile_seconds": step.compile_seconds,
            "peak_bytes": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"),
        }
        if peer is not None:
            row |= {"sbx": peer.versions, "sbx_updates_per_second": spread(rates["sbx"])}
            row["over_sbx"] = spread(ratios(updates, rates["sbx"]))
        rows.append(row)
    return rows


def markdown(data: Mapping[str, Any]) -> str:
    """Return a table of updates/s and shares of the products in the same precision, one line per preset and seeds."""
    lines: dict[tuple[str, str, int], dict[str, str]] = {}
    for row in data["rows"]:
        cells = lines.setdefault((row["preset"], row["utd"], row["num_seeds"]), {})
        cells["GFLOP/update"] = f"{row['gflop_per_update']:.3g}"
        rate, share = row["updates_per_second"]["median"], row["share_of_product"]["median"]
        cells[row["precision"]] = f"{rate:,.{0 if rate >= 100 else 1}f}, {share:.0%}"
    columns = list(dict.fromkeys(column for cells in lines.values() for column in cells))
    table = [("preset", "UTD", "seeds", *columns), ("---",) * (len(columns) + 3)]
    for (preset, utd, num_seeds), cells in lines.items():
        table.append((f"`{preset}`", utd, str(num_seeds), *(cells.get(column, "") for column in columns)))
    return "".join("| " + " | ".join(line) + " |\n" for line in table)


def products(precision: Precision) -> Callable[[int], None]:
    """Return a function that multiplies 512 x 512 matrices a given number of times, as layers do in this precision."""
    matrix = jax.random.normal(jax.random.key(0), (MATRIX_SIZE, MATRIX_SIZE))
    other = matrix / np.sqrt(MATRIX_SIZE)  # scaled so that repeated products stay finite

    @jax.jit
    def repeated(count: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, count, lambda _, x: dot_general(x, other, None), matrix)

    with matmul_precision(precision):
        program = repeated.lower(np.int32(0)).compile()

    def run(calls: int) -> None:
        program(np.int32(calls)).block_until_ready()

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
    line += f"  {row['gflop_per_update']:>12.2f}  {share:>15.0%}  {row['compile_seconds']:>5.1f} s"
    if "over_sbx" in row:
        line += f"\n  {row['over_sbx']['median']:.2f} times the {row['sbx_updates_per_second']['median']:.1f} updates/s"
        line += f" of SBX {row['sbx']['sbx']} CrossQ"
    return line


@contextlib.contextmanager
def _sbx(args: argparse.Namespace, spec: EnvSpec) -> Iterator[SbxPeer | None]:
    """Yield SBX's CrossQ, or None where it is not installed, computes on another kind of device, or no UTD is given."""
    python = args.sbx or (SBX_PYTHON if SBX_PYTHON.exists() else None)
    if python is None or args.utd is None:
        yield None
        return
    with open_peer(python, spec.observation_size, spec.action_size, args.utd) as peer:
        yield peer if peer.versions["device"] == jax.default_backend() else None


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure update rates.", allow_abbrev=False)
    names = [preset.name for preset in list_presets()]
    parser.add_argument("--presets", nargs="+", default=["crossq-wn"], choices=[*names, "all"], metavar="PRESET")
    parser.add_argument("--precisions", nargs="+", default=["float32"], choices=PRECISIONS)
    parser.add_argument("--num-seeds", nargs="+", type=_positive, default=[1], metavar="N")
    parser.add_argument("--utd", type=_utd, default=5, metavar="N", help="updates per agent step; own: the preset's")
    parser.add_argument("--task", default="cheetah-run", help="task that decides the sizes of the networks")
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, help="approximate length of one measurement")
    parser.add_argument("--minutes", type=float, default=60.0, help="measure no row that is expected to end after this")
    parser.add_argument("--sbx", type=Path, help=f"a Python with sbx-rl (default: {SBX_PYTHON}, if it exists)")
    parser.add_argument("--out", type=Path, default=Path(".bench/speed.json"), help="JSON file of the results")
    args = parser.parse_args(arguments)
    if "all" in args.presets:
        args.presets = names
    return args


def _utd(text: str) -> int | None:
    return None if text == "own" else _positive(text)


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


if __name__ == "__main__":
    run_program(main)
