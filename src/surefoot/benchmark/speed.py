"""The speed benchmark: updates and the whole loop, in the same minutes as the machine's limits and, where it is
installed, SBX's CrossQ.

Shared machines change their speed within seconds, so every part is measured in every round, one after the other; only
ratios taken within a round compare between machines.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from surefoot.algorithms.presets import crossq_wn
from surefoot.benchmark.machine import matmul_part, memory_part
from surefoot.benchmark.sbx_peer import SbxPeer, open_peer
from surefoot.benchmark.updates import Bench
from surefoot.machine import Precision, device_name
from surefoot.tasks import VectorEnv, get_task, make_vector
from surefoot.types import EnvSpec

type Part = Callable[[int], float]
"""Does something so many times and returns the seconds that it took."""


@dataclass(frozen=True)
class Spread:
    """Several measurements of one quantity."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Summarise."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class SpeedReport:
    """What one benchmark run measured on one device. Ratios are taken round by round.

    Attributes:
        device: a person's name for it.
        task: what the loop plays, and whose sizes the networks have.
        utd: gradient updates per agent step.
        num_seeds: agents trained side by side; speeds count them all.
        rounds: measurements of each quantity.
        gflop_per_update: of matrix products in the traced program, the policy's share averaged over its delay.
        compiled_gflop_per_update: of everything, as XLA counts its compiled program, likewise averaged.
        compiled_gbytes_per_update: read and written by its operations, most of it from and to caches.
        matmul_gflops: float32 matrix products of 512 x 512 x 512, 10^9 operations per second.
        bf16_matmul_gflops: the same with factors in bfloat16 and sums in float32.
        memory_gbytes_per_second: read and written in passes over an array larger than the caches.
        updates_per_second: gradient updates alone: stored transition, sampling, U updates, next action.
        bf16_updates_per_second: the same with ``--precision bf16``.
        loop_updates_per_second: float32 updates with the environment in the loop.
        overlap_updates_per_second: the same with ``--overlap``.
        share_of_limit: float32 updates alone as a share of matmul_gflops / gflop_per_update.
        bf16_gain: bf16 updates over float32 ones.
        loop_share: float32 updates in the loop over those alone.
        overlap_gain: the loop with overlap over the one without.
        sbx_updates_per_second: of SBX's CrossQ, which has no target critic; None where it was not measured.
        sbx_gain: ours alone over SBX's; None where there is nothing to compare: no SBX, another kind of device, or
            several agents of ours, since SBX trains one.
        sbx_versions: what was measured beside ours.
        compile_seconds: of the train step, from tracing to the end of its first call.
    """

    device: str
    task: str
    utd: int
    num_seeds: int
    rounds: int
    gflop_per_update: float
    compiled_gflop_per_update: float
    compiled_gbytes_per_update: float
    matmul_gflops: Spread
    bf16_matmul_gflops: Spread
    memory_gbytes_per_second: Spread
    updates_per_second: Spread
    bf16_updates_per_second: Spread
    loop_updates_per_second: Spread
    overlap_updates_per_second: Spread
    share_of_limit: Spread
    bf16_gain: Spread
    loop_share: Spread
    overlap_gain: Spread
    sbx_updates_per_second: Spread | None
    sbx_gain: Spread | None
    sbx_versions: dict[str, Any] | None
    compile_seconds: float

    def to_data(self) -> dict[str, Any]:
        """Return JSON values."""
        return dataclasses.asdict(self)


def measure(
    utd: int = 5,
    num_seeds: int = 1,
    rounds: int = 9,
    task_name: str = "cheetah-run",
    sbx_python: Path | None = None,
    seconds_per_part: float = 1.5,
) -> SpeedReport:
    """Run the benchmark.

    Args:
        utd: gradient updates per agent step.
        num_seeds: agents side by side.
        rounds: measurements of each part.
        task_name: what the loop plays, and whose sizes the networks have.
        sbx_python: an interpreter that has sbx-rl; None leaves SBX out.
        seconds_per_part: aimed-at length of one measurement.

    Raises:
        UserError: no such task, or SBX does not run there.
    """
    task, algorithm = get_task(task_name), crossq_wn(utd=utd)
    with contextlib.ExitStack() as stack:
        vector = stack.enter_context(make_vector(task, range(num_seeds), "train", num_workers=None))
        spec = EnvSpec(vector.observation_size, vector.action_size)
        peer = None
        if sbx_python is not None:
            sizes = (spec.observation_size, spec.action_size)
            peer = stack.enter_context(open_peer(sbx_python, *sizes, utd))
        observation = vector.reset([0] * num_seeds)
        float32, bf16 = (Bench(algorithm, spec, task.discount, observation, p) for p in _PRECISIONS)
        gflop = float32.gflop_per_update()
        compiled_gflop, compiled_gbytes = float32.compiled_cost()
        parts, units = _parts(float32, bf16, vector, peer, utd * num_seeds)
        rates = _alternate(parts, units, rounds, seconds_per_part)
        return SpeedReport(
            device=device_name(),
            task=task.name,
            utd=utd,
            num_seeds=num_seeds,
            rounds=rounds,
            gflop_per_update=gflop,
            compiled_gflop_per_update=compiled_gflop,
            compiled_gbytes_per_update=compiled_gbytes,
            matmul_gflops=Spread.of(rates["matmul"]),
            bf16_matmul_gflops=Spread.of(rates["bf16_matmul"]),
            memory_gbytes_per_second=Spread.of(rates["memory"]),
            updates_per_second=Spread.of(rates["float32"]),
            bf16_updates_per_second=Spread.of(rates["bf16"]),
            loop_updates_per_second=Spread.of(rates["loop"]),
            overlap_updates_per_second=Spread.of(rates["overlap"]),
            share_of_limit=_ratio(rates["float32"], rates["matmul"], gflop),
            bf16_gain=_ratio(rates["bf16"], rates["float32"]),
            loop_share=_ratio(rates["loop"], rates["float32"]),
            overlap_gain=_ratio(rates["overlap"], rates["loop"]),
            sbx_updates_per_second=Spread.of(rates["sbx"]) if peer else None,
            sbx_gain=_ratio(rates["float32"], rates["sbx"]) if peer and _comparable(peer, num_seeds) else None,
            sbx_versions=peer.versions if peer else None,
            compile_seconds=float32.compile_seconds,
        )


_PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")


def _comparable(peer: SbxPeer, num_seeds: int) -> bool:
    return num_seeds == 1 and peer.versions["device"] == jax.default_backend()


def _parts(
    float32: Bench, bf16: Bench, vector: VectorEnv, peer: SbxPeer | None, updates: int
) -> tuple[dict[str, Part], dict[str, float]]:
    """Return what is measured, and how much of its unit one call of it is."""
    matmul, matmul_gflop = matmul_part()
    bf16_matmul, _ = matmul_part(jnp.bfloat16)
    memory, gbytes = memory_part()
    parts: dict[str, Part] = {
        "matmul": _timed(matmul),
        "bf16_matmul": _timed(bf16_matmul),
        "memory": _timed(memory),
        "float32": _timed(float32.update),
        "bf16": _timed(bf16.update),
        "loop": _timed(lambda calls: float32.loop(vector, calls)),
        "overlap": _timed(lambda calls: float32.loop(vector, calls, overlap=True)),
    }
    units = {"matmul": matmul_gflop, "bf16_matmul": matmul_gflop, "memory": gbytes}
    if peer is not None:
        parts["sbx"] = peer.run
        units["sbx"] = float(float32.utd)  # It trains one agent, whatever the number of ours.
    return parts, {name: units.get(name, float(updates)) for name in parts}


def _alternate(parts: dict[str, Part], units: dict[str, float], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return units per second of each part, round by round."""
    calls = {name: _calls_for(part, seconds) for name, part in parts.items()}
    rates: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            rates[name].append(units[name] * calls[name] / part(calls[name]))
    return rates


def _ratio(values: list[float], others: list[float], factor: float = 1.0) -> Spread:
    return Spread.of([factor * value / other for value, other in zip(values, others, strict=True)])


def _calls_for(part: Part, seconds: float) -> int:
    part(1)
    calls = 1
    while (taken := part(calls)) < 0.2 * seconds:
        calls *= 2
    return max(1, round(calls * seconds / taken))


def _timed(function: Callable[[int], None]) -> Part:
    def part(calls: int) -> float:
        began = time.perf_counter()
        function(calls)
        return time.perf_counter() - began

    return part
