"""Grids on a Ray cluster whose workers and raylets are killed at random, compared with the local launcher's.

``python -m tests.storm.ray_kills --minutes 10``: a trial is a grid; as many are run as fit.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefoot.benchmark.folder import GridFolder
from tests.benchmark.support import rows_without_clock, write_grid
from tests.storm.trials import Trial, parse, references_folder, run_trials

HEAD = 'tasks = ["probe-action", "probe-truncation"]\nnum_seeds = {seeds}\nseeds_per_cell = 1'
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "memory": 3_000_000_000}
NODES = 2

MOST_LOSSES = 6
"""Losses after which a cell is spared: after ten, it counts as failed."""
PAUSE_SECONDS = (4.0, 16.0)
"""Range of the time between two kills."""
STARTS = 5
"""Attempts at starting a node."""
LIMIT_SECONDS = 3600.0

_PARENT = re.compile(r"\) \S (\d+)")


@dataclass(frozen=True)
class _Cell:
    """A running cell."""

    name: str
    worker: int
    """Process id of the Ray worker that waits for it."""
    raylet: int


class RayKills:
    """Trials of grids on a cluster that loses workers and nodes.

    Args:
        folder: Folder of the grid and of the local launcher's results.
        seeds: Seeds of the grid, which has two cells for each.
        env_steps: Env steps of a cell.
        minutes: Time for kills, from when the results of the local launcher are there.
    """

    def __init__(self, folder: Path, seeds: int, env_steps: int, minutes: float) -> None:
        self._grid = write_grid(folder / "grid.toml", HEAD.format(seeds=seeds), env_steps=env_steps)
        self._local = folder / "local"
        with (folder / "output.log").open("ab") as output:
            _bench(self._grid, self._local, output).wait()
        self._deadline = time.monotonic() + 60 * minutes

    def run(self, trial: Trial) -> None:
        """Run the grid on a cluster while processes of the cluster are killed, and compare its cells."""
        cluster = _patiently(_start_cluster)
        try:
            for _ in range(NODES):
                _patiently(lambda: cluster.add_node(**NODE))
            self._run(trial, cluster)
        finally:
            for node in list(cluster.worker_nodes):
                cluster.remove_node(node, allow_graceful=False)
            cluster.shutdown()
        trial.problems += self._differences(trial.folder / "grid")

    def _run(self, trial: Trial, cluster: Any) -> None:
        out, losses, begin = trial.folder / "grid", Counter[str](), time.monotonic()
        with (trial.folder / "output.log").open("ab") as output:
            process = _bench(self._grid, out, output, "--launcher", "ray", "--address", cluster.address)
        try:
            while process.poll() is None:
                self._wait(process, trial.random.uniform(*PAUSE_SECONDS))
                if time.monotonic() < self._deadline and process.poll() is None:
                    self._kill(trial, cluster, losses)
                if time.monotonic() - begin > LIMIT_SECONDS:
                    trial.problems.append(f"the grid did not end within {LIMIT_SECONDS:.0f} s")
                    break
        finally:
            process.terminate()
            process.wait()
        if process.returncode != 0:
            trial.problems.append(f"exit code {process.returncode}")
        trial.events.append(f"{sum(losses.values())} cells interrupted")

    def _wait(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)

    def _kill(self, trial: Trial, cluster: Any, losses: Counter[str]) -> None:
        """Kill the worker or the raylet of a running cell, and replace a lost node."""
        nodes = {_raylet(node): node for node in cluster.worker_nodes}
        cells = [cell for cell in _running(set(nodes)) if losses[cell.name] < MOST_LOSSES]
        if not cells:
            return
        cell = trial.random.choice(cells)
        losses[cell.name] += 1
        if trial.random.random() < 0.5:
            _kill(cell.worker)
            trial.counts["workers killed"] += 1
            return
        _kill(cell.raylet)
        trial.counts["raylets killed"] += 1
        time.sleep(trial.random.uniform(0.0, 3.0))
        cluster.remove_node(nodes[cell.raylet], allow_graceful=False)
        _patiently(lambda: cluster.add_node(**NODE))

    def _differences(self, out: Path) -> list[str]:
        lines = []
        for cell in GridFolder.open(self._local).cells:
            one, two = self._local / "cells" / cell.name, out / "cells" / cell.name
            for name in ("evaluations.csv", "training.csv"):
                if not (two / name).exists():
                    lines.append(f"{cell.name}: {name} is missing")
                elif rows_without_clock(one, name) != rows_without_clock(two, name):
                    lines.append(f"{cell.name}: {name} differs")
            policies = [path / "policy" / "policy.npz" for path in (one, two)]
            if not policies[1].exists() or policies[0].read_bytes() != policies[1].read_bytes():
                lines.append(f"{cell.name}: the policy differs")
        return lines


def _bench(grid: Path, out: Path, output: Any, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "surefoot", "bench", str(grid), "--out", str(out), *arguments]
    # One thread per cell, as on the cluster: with more, XLA may add numbers in another order.
    return subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "NPROC": "1"})


def _start_cluster() -> Any:
    """Start a cluster whose head runs no cells."""
    from ray.cluster_utils import Cluster

    head = {**NODE, "num_cpus": 0, "include_dashboard": False}
    return Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=True)


def _patiently[Result](start: Callable[[], Result]) -> Result:
    """Start a node; Ray gives up after half a minute, which a busy machine needs for one."""
    for _ in range(STARTS - 1):
        with contextlib.suppress(Exception):
            return start()
    return start()


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _running(raylets: set[int]) -> list[_Cell]:
    """Return the running cells of some raylets."""
    cells = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if "surefoot.benchmark.cell" in words:
                worker = _parent(int(folder.name))
                if (raylet := _parent(worker)) in raylets:
                    cells.append(_Cell(words[words.index("surefoot.benchmark.cell") + 2], worker, raylet))
        except (OSError, AttributeError):
            continue  # it has just ended
    return sorted(cells, key=lambda cell: cell.name)


def _parent(pid: int) -> int:
    return int(_PARENT.search(Path(f"/proc/{pid}/stat").read_text()).group(1))


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main(arguments: list[str] | None = None) -> int:
    """Run the trials and return the exit code."""
    os.environ |= {"RAY_worker_niceness": "0", "RAY_health_check_period_ms": "1000", "RAY_USAGE_STATS_ENABLED": "0"}
    sizes = {"type": int, "help": "default %(default)s"}
    more = {"seeds": sizes | {"default": 8}, "env-steps": sizes | {"default": 6000}}
    options = parse("ray_kills", arguments, count=100, minutes=10.0, **more)
    kills = RayKills(references_folder(options), options.seeds, options.env_steps, options.minutes)
    return run_trials(options, kills.run)


if __name__ == "__main__":
    sys.exit(main())
