"""What one GPU can do for the evidence in nine minutes: two grids of ten seeds, and update rates.

    .venv/bin/python -m results.evidence_gpu [--minutes 9] [--parallel 5] [--collect]

All runs train at once, each in a process of its own on the same GPU, until the time is up; then the rate of the update
is measured alone. Logs are copied to results/GRID/CELL every 20 seconds. Runs are in runs/evidence-gpu with their
checkpoints, and a further call continues them; after a kill, from their last checkpoint. ``--collect`` only copies and
prints the table.

Plan for one H200 with 16 cores, in TF32, from the measurements in docs/notes/gpu.md and docs/performance.md:

| minutes | what | from |
|---|---|---|
| 0:00 to 0:35 | five processes start and compile | 12 to 20 s of compilation each, on a core each |
| 0:35 to 1:20 | warm-up of 5,000 agent steps | ten dogs take 6 to 10 ms per agent step, walkers a quarter |
| to 7:00 | updates, 10,000 to 19,000 agent steps | see below |
| to 7:25 | checkpoints of the stopped runs | 5 s for 1 GB |
| to 9:00 | update rates of 10, 64 and 1 seeds | 10 s, and 25 s each |

An update of ten seeds takes 1.28 ms at walker-run's sizes and 1.51 ms at a dog's, of which the GPU waits 0.66 ms; one
of XQC, with three times the products in twice the layers, an estimated 2.3 ms. An agent step of all five runs is then
33 ms of updates, or 18 ms if the processes use each other's waits entirely, behind which ``overlap`` hides the
environments. So walker-run reaches 30,000 to 48,000 env steps and dog-stand 28,000 to 45,000. One after the other, the
runs would reach about 20,000, because each would start, compile, warm up and evaluate with the GPU idle. Both
algorithms of a task get the same share, and the table compares them at the last step at which both were evaluated.
``--parallel 2`` trains the pairs one after the other, in equal times, should five processes obstruct each other.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks import run_program
from results.evidence import RESULTS, copy_run, grid_file

from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.benchmark.launchers import PARENT, UTF8
from surefoot.benchmark.status import GridReader
from surefoot.processes import python_command
from surefoot.report.runs import ReportRun, load_runs
from surefoot.report.statistics import Scores, estimate, iqm
from surefoot.report.tables import joined
from surefoot.runs.progress import RunProgress, RunReader
from surefoot.signals import INTERRUPTED, raised_as_interrupts
from surefoot.tasks import get_task

GRIDS = ("evidence-gpu", "evidence-gpu-xqc")
"""Grids in ``grids/``, in order of value."""

ROOT = RESULTS.parent

COPY_SECONDS = 20.0
STOP_SECONDS = 25.0
"""Time for an evaluation that is running and for the checkpoints; then a run is killed."""

MEMORY_SHARE = 0.9
"""Share of the GPU's memory for all runs together."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, copy, print the table and measure; return an exit code."""
    start = time.monotonic()
    args = _parse(arguments)
    end = start + 60.0 * args.minutes
    folders = [GridFolder.create(args.runs / Path(grid).stem, load_grid(grid)) for grid in args.grids]
    code = 0
    try:
        with raised_as_interrupts():
            if not args.collect:
                train(folders, args.parallel, end - 60.0 * args.rate_minutes - STOP_SECONDS, args.results)
    except KeyboardInterrupt:
        code = INTERRUPTED
    collect(folders, args.results)
    kept = [args.results / folder.grid for folder in folders if (args.results / folder.grid).is_dir()]
    print(table(kept), flush=True)
    if not code and not args.collect and args.rate_minutes:
        # Last, since it needs the GPU for itself; the least valuable, should the time be too short.
        left = end - time.monotonic()
        command = rate_command(kept, args.out, left / 60.0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, cwd=ROOT, timeout=max(1.0, left))
        print(table(kept), flush=True)
    return code


def train(folders: Sequence[GridFolder], parallel: int, end: float, results: Path) -> None:
    """Train the unfinished cells until ``end``, in rounds that share the time equally.

    Args:
        folders: Grids.
        parallel: Number of cells in a round.
        end: Time of ``time.monotonic``; processes may take up to ``STOP_SECONDS`` longer.
        results: Folder of the copies.
    """
    left = [
        (folder, status.name)
        for folder in folders
        for status in GridReader(folder).read()
        if status.state != "finished"
    ]
    rounds = list(itertools.batched(left, parallel))
    with contextlib.ExitStack() as locked:
        for lock in (folder.lock() for folder in folders):
            lock.acquire()
            locked.callback(lock.release)
        for number, cells in enumerate(rounds):
            begin = time.monotonic()
            _train_together(cells, begin + (end - begin) / (len(rounds) - number), results)


def _train_together(cells: Sequence[tuple[GridFolder, str]], end: float, results: Path) -> None:
    environment = os.environ | UTF8 | {PARENT: str(os.getpid())}
    environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{MEMORY_SHARE / len(cells):.2f}")
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for folder, name in cells:
            command = python_command("surefoot.benchmark.cell", str(folder.path), name)
            with folder.log_path(name).open("ab") as log:
                # In sessions of their own: Ctrl-C reaches this process, which then stops them.
                processes[name] = subprocess.Popen(
                    command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
                )
        _wait(list(processes.values()), end, cells, results)
    finally:
        for process in processes.values():
            process.terminate()
        _wait(list(processes.values()), time.monotonic() + STOP_SECONDS, cells, results)
        for process in processes.values():
            process.kill()
            process.wait()
    for folder, name in cells:
        if (code := processes[name].returncode) not in (0, INTERRUPTED):
            print(f"{name}: exit code {code}: {' | '.join(folder.last_lines(name))}", flush=True)


def _wait(
    processes: Sequence[subprocess.Popen[bytes]], end: float, cells: Sequence[tuple[GridFolder, str]], results: Path
) -> None:
    """Wait for the processes, at most until ``end``, and copy meanwhile."""
    copied = time.monotonic()
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        time.sleep(0.2)
        if time.monotonic() - copied > COPY_SECONDS:
            folders = list({folder.path: folder for folder, _ in cells}.values())
            print(collect(folders, results), flush=True)
            copied = time.monotonic()


def collect(folders: Sequence[GridFolder], results: Path) -> str:
    """Copy the runs that were evaluated after their start to ``results``/GRID/CELL; return their env steps in a line.

    Args:
        folders: Grids.
        results: Folder of the copies.
    """
    reached = []
    for folder in folders:
        for status in GridReader(folder).read():
            reached.append(f"{status.name} {status.run.env_steps if status.run else 0:,}")
            run, kept = folder.run_path(status.name), results / folder.grid / status.name
            # A run that continues from its last checkpoint after a kill may be behind its copy.
            if (
                status.run
                and _evaluated(status.run) > 0
                and _evaluated(status.run) >= _evaluated(RunReader(kept).read())
            ):
                copy_run(run, kept, ["make", "evidence-gpu"])
    return ", ".join(reached)


def _evaluated(run: RunProgress) -> int:
    """Return the env step of a run's last evaluation, 0 without one."""
    return run.evaluations[-1].env_steps if run.evaluations else 0


def table(kept: Sequence[Path]) -> str:
    """Return the returns of copied runs at the last step at which all runs of a task in their grid were evaluated.

    Args:
        kept: Folders of the grids' copies.
    """
    if not kept:
        return "no run was evaluated after its start"
    lines = ["| task | algorithm | UTD | seeds | env steps | return, IQM [95%] | trained on |", "|" + "---|" * 7]
    for folder in kept:
        runs = load_runs([folder])
        for task in dict.fromkeys(run.task for run in runs):
            own = [run for run in runs if run.task == task]
            step = max(set.intersection(*(set(run.env_steps.tolist()) for run in own)))
            lines += [_row(run, step) for run in own]
    return "\n".join(lines)


def _row(run: ReportRun, step: int) -> str:
    scores = run.scores[:, [int(np.searchsorted(run.env_steps, step))]] * get_task(run.task).score_scale
    found = estimate(Scores([run.task], [scores]), iqm, np.random.default_rng(0))
    value, low, high = (float(part[0]) for part in (found.value, found.low, found.high))
    cells = (run.task, run.name, run.utd, len(run.seeds), f"{step:,}", f"{value:.0f} [{low:.0f}, {high:.0f}]")
    return "| " + " | ".join(map(str, (*cells, f"{joined(run.devices)}, {_precision(run.path)}"))) + " |"


def _precision(run: Path) -> str:
    return str(json.loads((run / "config.json").read_text(encoding="utf-8"))["precision"])


def rate_command(kept: Sequence[Path], out: Path, minutes: float) -> list[str]:
    """Return the command that measures the rate of CrossQ + WN's update at UTD 5 in the precision of the runs.

    Args:
        kept: Folders of the grids' copies.
        out: JSON file of the results.
        minutes: Time limit.
    """
    precision = next((_precision(run.parent) for folder in kept for run in folder.glob("*/config.json")), "float32")
    options = ["--presets", "crossq-wn", "--utd", "5", "--precisions", precision, "--num-seeds", "10", "64", "1"]
    limits = ["--rounds", "3", "--minutes", f"{minutes - 10 / 60:.2f}", "--out", str(out.absolute())]
    return [sys.executable, "-m", "benchmarks.speed", *options, *limits]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train two grids on one GPU.", allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit, start and compilation included")
    parser.add_argument("--rate-minutes", type=float, default=1.6, help="of these, for the rates of updates")
    parser.add_argument("--parallel", type=int, default=5, metavar="N", help="runs at once")
    parser.add_argument("--collect", action="store_true", help="only copy and print the table")
    parser.add_argument("--grids", nargs="+", default=[str(grid_file(name)) for name in GRIDS], metavar="TOML")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "evidence-gpu")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "evidence-gpu.json")
    args = parser.parse_args(arguments)
    if args.parallel < 1:
        parser.error(f"--parallel must be at least 1, got {args.parallel}")
    return args


if __name__ == "__main__":
    run_program(main)
