"""Where an update's time goes, operation by operation: a table from JAX's profiler, for docs/performance.md.

    .venv/bin/python scripts/profile_update.py [float32|tf32|bf16] [updates per agent step] [seeds]

Pin it to one core (``taskset -c 0``) for a table whose rows add up: on several, operations run side by side.
"""

from __future__ import annotations

import collections
import re
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from jax.profiler import ProfileData

from surefoot.algorithms.presets import crossq_wn
from surefoot.benchmark.updates import Bench
from surefoot.types import EnvSpec

_CALLS = 30
_ROWS = 40


def main(precision: str = "float32", utd: str = "5", seeds: str = "1") -> None:
    """Print the table."""
    observation = np.zeros((int(seeds), 17), np.float32)
    bench = Bench(crossq_wn(utd=int(utd)), EnvSpec(17, 6), 0.99, observation, precision, 10_000)  # type: ignore[arg-type]
    bench.update(3)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            began = time.perf_counter()
            bench.update(_CALLS)
            wall = time.perf_counter() - began
        data = ProfileData.from_file(str(next(Path(folder).rglob("*.xplane.pb"))))
    updates = _CALLS * int(utd)
    spent, times = collections.Counter[str](), collections.Counter[str]()
    for plane in data.planes:
        for line in plane.lines:
            for event in line.events:
                if (operation := dict(event.stats).get("hlo_op")) is not None:
                    spent[str(operation)] += event.duration_ns
                    times[str(operation)] += 1
    named = _names(bench)
    kinds = collections.Counter[str]()
    for operation, nanoseconds in spent.items():
        kinds[_kind(operation, named)] += nanoseconds
    # A loop's or a branch's own time holds that of what is in it.
    del kinds["inside"]
    print(f"{wall * 1e6 / updates:9.0f} us per update, of which in operations {kinds.total() / 1e3 / updates:.0f}")
    for kind, nanoseconds in kinds.most_common():
        print(f"{nanoseconds / 1e3 / updates:9.1f} us  {kind}")
    print()
    shown = [row for row in spent.most_common() if _kind(row[0], named) != "inside"]
    for operation, nanoseconds in shown[:_ROWS]:
        source, shape = named.get(operation, ("", ""))
        each = f"{nanoseconds / 1e3 / updates:9.1f} us x{times[operation] / updates:5.2f}"
        print(f"{each}  {operation} {shape} {source[-90:]}")


def _names(bench: Bench) -> dict[str, tuple[str, str]]:
    """Of each operation in the compiled program: where it comes from in ours, and the shape of its result."""
    program = bench._population._train.lower(bench._state, bench._transition, np.int32(0)).compile().as_text()
    found = {}
    for line in program.splitlines():
        if left := re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = (\(?\w+\[[\d,]*\])", line):
            source = re.search(r'op_name="([^"]*)"', line)
            custom = " ynn" if "__ynn" in line else ""
            found[left[1]] = (source[1] if source else "", left[2] + custom)
    return found


def _kind(operation: str, named: dict[str, tuple[str, str]]) -> str:
    """Sort an operation by the last one of ours in it."""
    source, _ = named.get(operation, ("", ""))
    if operation.startswith(("while", "conditional", "call")):
        return "inside"
    if "dot_general" in source or operation.startswith("dot"):
        return "matrix products"
    if "norm" in source.lower():
        return "batch normalisation"
    if operation.startswith("copy"):
        return "copies"
    return "the rest, elementwise: ReLU and bias, optimiser, projection, target, sampling"


if __name__ == "__main__":
    main(*sys.argv[1:])
