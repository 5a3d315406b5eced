"""Time of an update by operation, from JAX's profiler.

    python -m benchmarks.profile_update [float32|tf32|bf16] [utd] [seeds]

Pin it to one core (``taskset -c 0``) for a table whose rows add up: on several cores, operations overlap.
"""

from __future__ import annotations

import argparse
import collections
import re
import tempfile
import time
from pathlib import Path

import jax
from jax.profiler import ProfileData

from surefoot.algorithms.presets import crossq_wn
from surefoot.benchmark.train_step import TrainStep
from surefoot.machine import PRECISIONS, Precision
from surefoot.types import EnvSpec

_CALLS = 30
_ROWS = 40


def main(precision: Precision, utd: int, seeds: int) -> None:
    """Print the table of operations."""
    step = TrainStep(crossq_wn(utd=utd), EnvSpec(17, 6), seeds, precision)
    step.run(3)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            step.run(_CALLS)
            wall = time.perf_counter() - start
        data = ProfileData.from_file(str(next(Path(folder).rglob("*.xplane.pb"))))
    updates = _CALLS * utd
    spent, times = collections.Counter[str](), collections.Counter[str]()
    for plane in data.planes:
        for line in plane.lines:
            for event in line.events:
                if (operation := dict(event.stats).get("hlo_op")) is not None:
                    spent[str(operation)] += event.duration_ns
                    times[str(operation)] += 1
    sources = _sources(step)
    kinds = collections.Counter[str]()
    for operation, nanoseconds in spent.items():
        kinds[_kind(operation, sources)] += nanoseconds
    # The time of a loop or a branch includes that of the operations inside.
    del kinds["inside"]
    print(f"{wall * 1e6 / updates:9.0f} us per update, of which in operations {kinds.total() / 1e3 / updates:.0f}")
    for kind, nanoseconds in kinds.most_common():
        print(f"{nanoseconds / 1e3 / updates:9.1f} us  {kind}")
    print()
    shown = [row for row in spent.most_common() if _kind(row[0], sources) != "inside"]
    for operation, nanoseconds in shown[:_ROWS]:
        source, shape = sources.get(operation, ("", ""))
        each = f"{nanoseconds / 1e3 / updates:9.1f} us x{times[operation] / updates:5.2f}"
        print(f"{each}  {operation} {shape} {source[-90:]}")


def _sources(step: TrainStep) -> dict[str, tuple[str, str]]:
    """Return the source and the shape of the result of each operation in the compiled training step."""
    program = step.population.lower_train_step(step.state).compile().as_text() or ""
    found = {}
    for line in program.splitlines():
        if left := re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = (\(?\w+\[[\d,]*\])", line):
            source = re.search(r'op_name="([^"]*)"', line)
            custom = " ynn" if "__ynn" in line else ""
            found[left[1]] = (source[1] if source else "", left[2] + custom)
    return found


def _kind(operation: str, sources: dict[str, tuple[str, str]]) -> str:
    """Return the category of an operation, by its source."""
    source, _ = sources.get(operation, ("", ""))
    if operation.startswith(("while", "conditional", "call")):
        return "inside"
    if "dot_general" in source or operation.startswith("dot"):
        return "matrix products"
    if "norm" in source.lower():
        return "batch normalisation"
    if operation.startswith("copy"):
        return "copies"
    return "elementwise and other: ReLU and bias, optimiser, projection, target, sampling"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the time of an update by operation.", allow_abbrev=False)
    parser.add_argument("precision", nargs="?", default="float32", choices=PRECISIONS)
    parser.add_argument("utd", nargs="?", type=int, default=5, help="gradient updates per agent step (default: 5)")
    parser.add_argument("seeds", nargs="?", type=int, default=1, help="seeds in one process (default: 1)")
    given = parser.parse_args()
    main(given.precision, given.utd, given.seeds)
