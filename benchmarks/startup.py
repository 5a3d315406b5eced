"""Time from the shell to the first update of a run, and of the first updates of runs in one process.

    python -m benchmarks.startup --against ../earlier-checkout

The clock runs from the start of the process until the vector step with the first gradient update has returned its
actions; evaluation and checkpoint at step 0 and the warm-up are part of it. "Cold" starts with an empty compilation
cache, "warm" with that of an earlier run. Checkouts take turns within a round; a line has the median and the range.
It needs the extra dmc.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_FIRST_UPDATE = """
import os
from surefoot.training.callbacks import EventDispatcher

def on_step(events, view):
    if view().grad_steps:
        os._exit(0)

EventDispatcher.on_step = on_step
from surefoot.cli.main import main
main()
"""
_SWEEP = """
import json, sys, time
import surefoot
from surefoot.training.events import Observer

class Stop(surefoot.Callback):
    def on_step(self, view):
        if view.grad_steps:
            seconds.append(time.perf_counter() - start)
            raise surefoot.StopTraining

task, warmup, runs, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
seconds = []
for seed in range(runs):
    start = time.perf_counter()
    algorithm = surefoot.crossq_wn_code().replace(warmup_transitions=warmup)
    surefoot.train(task, algorithm=algorithm, seed=seed, env_steps=100_000, out=f"{out}/{seed}", observer=Observer(),
                   callbacks=(Stop(),))
print(json.dumps(seconds))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a line per measurement, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, nargs="*", default=(), help="other checkouts of this repository")
    parser.add_argument("--task", default="walker-run")
    parser.add_argument("--warmup", type=int, default=1000, help="transitions before the first update")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind; 0 for none")
    parser.add_argument("--runs", type=int, default=8, help="runs in one process; 0 for none")
    parser.add_argument("--out", type=Path, default=Path(".bench/startup.json"))
    args = parser.parse_args(arguments)
    checkouts = [path.resolve() for path in (Path(), *args.against)]
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(args.task, args.warmup, Path(folder))
        seconds: dict[str, dict[str, list[float]]] = {
            name: {str(checkout): [] for checkout in checkouts} for name in commands
        }
        for number in range(args.rounds + 1 if args.rounds else 0):  # the first one fills the caches
            for name, command in commands.items():
                for checkout in checkouts:
                    cache = "cold" if name.endswith("cold") else "warm"
                    taken = _seconds(command, checkout, Path(folder) / f"{cache}{checkouts.index(checkout)}", cache)
                    if number:
                        seconds[name][str(checkout)].append(taken)
        for name, by_checkout in seconds.items():
            for checkout, values in by_checkout.items() if args.rounds else ():
                print(f"{name:24} {_summary(values)}  {checkout}", flush=True)
        runs = {str(checkout): _sweep(args.task, args.warmup, args.runs, checkout) for checkout in checkouts}
        for checkout, values in runs.items():
            if values:
                print(f"runs in one process      {' '.join(f'{value:.2f}' for value in values)} s  {checkout}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"seconds": seconds, "runs": runs}, indent=1) + "\n")


def _commands(task: str, warmup: int, folder: Path) -> dict[str, list[str]]:
    """Return Python's arguments by the name of the measurement."""
    options = [task, "--overwrite", "--out", str(folder / "run"), "--set", f"warmup_transitions={warmup}"]
    train = ["-c", _FIRST_UPDATE, "train", *options]
    return {
        "import surefoot": ["-c", "import surefoot"],
        "surefoot --help": ["-m", "surefoot", "--help"],
        "first update, warm": train,
        "first update, cold": train,
    }


def _seconds(command: Sequence[str], checkout: Path, cache: Path, temperature: str) -> float:
    """Return the seconds that a process takes."""
    with tempfile.TemporaryDirectory() as empty:
        start = time.perf_counter()
        _python(command, checkout, Path(empty) if temperature == "cold" else cache)
        return time.perf_counter() - start


def _sweep(task: str, warmup: int, runs: int, checkout: Path) -> list[float]:
    """Return the seconds to the first update of each of ``runs`` runs with other seeds in one process."""
    with tempfile.TemporaryDirectory() as empty:
        command = ["-c", _SWEEP, task, str(warmup), str(runs), f"{empty}/runs"]
        if not runs:
            return []
        output = _python(command, checkout, Path(empty) / "cache")
        values: list[float] = json.loads(output.splitlines()[-1])
        return values


def _python(command: Sequence[str], checkout: Path, cache: Path) -> str:
    """Run Python with a checkout's package; return its output."""
    variables = {"PYTHONPATH": str(checkout / "src"), "SUREFOOT_COMPILE_CACHE": str(cache)}
    process = subprocess.run(
        [sys.executable, *command],
        env=os.environ | variables,
        cwd=checkout,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return process.stdout


def _summary(values: Sequence[float]) -> str:
    return f"{statistics.median(values):6.2f} s ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
