"""Speed of the engines that step environments, on one core, in one run.

    python -m benchmarks.engines --out .bench/engines.json

It needs the extras dmc, myosuite and envpool; with playground, two tasks of MuJoCo Playground are measured as well. The
speed of shared machines changes within seconds, so the engines of a task take turns, and the ratios compare.
Results are written after every row.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import run_program
from surefoot.engine import Engine
from surefoot.tasks import VectorEnv, get_task, make_vector, with_engine

TASKS = (
    *("cheetah-run", "fish-swim", "humanoid-run", "quadruped-run", "dog-run"),
    *("myo-reach", "myo-key-turn", "myo-pose", "myo-obj-hold", "myo-key-turn-hard"),
)
JAX_TASKS = {"cheetah-run": "playground/CheetahRun", "humanoid-run": "playground/HumanoidRun"}
SLOTS, JAX_SLOTS = 8, 256
RESUMED_EPISODE, RESUMED_DECISIONS = 20, 250


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="tasks of the paper")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--dogs", type=int, default=10, help="dogs stepped together, on all cores; 0 for none")
    parser.add_argument("--out", type=Path, default=Path(".bench/engines.json"))
    args = parser.parse_args(arguments)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {"steps_per_second_per_core": [], "dogs": [], "resume": []}
    cores = os.sched_getaffinity(0)
    if args.dogs:  # before this process is bound to a core
        data["dogs"], data["resume"] = together(args.dogs, args.rounds, args.seconds)
        write(args.out, data)
    os.sched_setaffinity(0, {min(cores)})
    print("control steps per second of one core   suite   envpool   ratio   jax", flush=True)
    for name in args.tasks:
        row = {"task": name, **per_core(name, args.rounds, args.seconds)}
        data["steps_per_second_per_core"].append(row)
        print(
            f"{name:36} {row['suite']:8,.0f} {row['envpool']:8,.0f} {row['envpool'] / row['suite']:7.2f} "
            f"{row.get('jax', float('nan')):8,.0f}",
            flush=True,
        )
        write(args.out, data)


def write(out: Path, data: dict[str, Any]) -> None:
    """Write the results so far."""
    out.write_text(json.dumps(data, indent=1) + "\n")


def per_core(name: str, rounds: int, seconds: float) -> dict[str, float]:
    """Return the control steps per second of each engine, in one thread."""
    vectors = {engine: vector(name, engine, SLOTS, 0 if engine == "suite" else 1) for engine in ("suite", "envpool")}
    if name in JAX_TASKS and importlib.util.find_spec("mujoco_playground"):
        vectors["jax"] = vector(JAX_TASKS[name], "jax", JAX_SLOTS, None)
    runs = {engine: Stepping(env) for engine, env in vectors.items()}
    rates = [{engine: run.rate(seconds) for engine, run in runs.items()} for _ in range(rounds)]
    for env in vectors.values():
        env.close()
    return {engine: statistics.median(rate[engine] for rate in rates) for engine in runs}


def together(slots: int, rounds: int, seconds: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure dogs stepped together on all cores, and what it costs to restore them in the middle of an episode."""
    cores = len(os.sched_getaffinity(0))
    vectors = {
        "suite, in this process": vector("dog-run", "suite", slots, 0),
        f"suite, {cores} workers": vector("dog-run", "suite", slots, cores),
        f"envpool, {cores} threads": vector("dog-run", "envpool", slots, cores),
    }
    runs = {what: Stepping(env) for what, env in vectors.items()}
    turns = [{what: run.seconds_per_step(seconds) for what, run in runs.items()} for _ in range(rounds)]
    stepped, resumed = [], []
    action_size = next(iter(vectors.values())).action_size
    taken = [np.zeros((RESUMED_DECISIONS, action_size), np.float32)] * slots
    for what, env in vectors.items():
        milliseconds = [1e3 * turn[what] for turn in turns]
        stepped.append({"what": what, "slots": slots, "milliseconds": statistics.median(milliseconds)})
        print(f"{slots} dogs in step, {what}: {stepped[-1]['milliseconds']:.2f} ms", flush=True)
        restoring = timed(functools.partial(env.restore, [RESUMED_EPISODE] * slots, taken))
        resumed.append({"what": what, "slots": slots, "seconds": restoring})
        print(
            f"restoring them in episode {RESUMED_EPISODE} after {RESUMED_DECISIONS} decisions: {restoring:.1f} s",
            flush=True,
        )
        env.close()
    return stepped, resumed


def vector(name: str, engine: Engine, slots: int, workers: int | None) -> VectorEnv:
    """Make and reset a vector."""
    env = make_vector(
        with_engine(get_task(name), engine),
        list(range(slots)),
        "train",
        num_workers=workers,
        environments=[None] * slots,
    )
    env.reset([0] * slots)
    return env


class Stepping:
    """Random actions in a vector."""

    def __init__(self, env: VectorEnv) -> None:
        self._env = env
        actions = np.random.default_rng(0).uniform(-1.0, 1.0, (16, env.num_envs, env.action_size))
        self._actions = itertools.cycle(actions.astype(np.float32))
        self._env.step(next(self._actions))  # compiles, where there is something to compile

    def rate(self, seconds: float) -> float:
        """Return control steps per second."""
        return self._run(seconds)[1]

    def seconds_per_step(self, seconds: float) -> float:
        """Return the time of a vector step."""
        return self._run(seconds)[0]

    def _run(self, seconds: float) -> tuple[float, float]:
        started, steps, decisions = time.perf_counter(), 0, 0
        while (taken := time.perf_counter() - started) < seconds or not decisions:
            steps += int(self._env.step(next(self._actions)).env_steps.sum())
            decisions += 1
        return taken / decisions, steps / taken


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    run_program(main)
