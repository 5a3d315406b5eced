"""Training of the grids in ``QUEUE``, and copies of their finished runs in this folder.

    .venv/bin/python -m results.evidence [--collect]

``--collect`` only copies. An interrupted run is resumed, and runs whose copies are here are not repeated. Runs, with
their checkpoints, are in runs/evidence; a checkpoint needs up to 160 MB per run of two seeds. To continue an
interrupted run on another machine, copy that folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from surefoot.benchmark.folder import GridFolder
from surefoot.benchmark.grid import load_grid
from surefoot.benchmark.status import GridReader
from surefoot.runs.atomic import write_file
from surefoot.signals import raised_as_interrupts

RESULTS = Path(__file__).parent
RUNS = RESULTS.parent / "runs" / "evidence"
QUEUE = (
    "as-released",
    "as-released-xqc",
    "as-released-seed-2",
    "sac",
    "xqc",
    "wn-pilot",
    "utd-narrow",
    "hard",
    "flashsac",
)
"""Grids in ``grids/``, in the order of their training."""

COPIED = ("evaluations.csv", "training.csv", "diagnostics.csv")


def main(arguments: list[str]) -> int:
    """Train what is not finished, grid by grid, and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m results.evidence", allow_abbrev=False)
    parser.add_argument("--collect", action="store_true", help="only copy finished runs")
    collect_only = parser.parse_args(arguments).collect
    for queued in QUEUE:
        load_grid(str(grid_file(queued)))
    for name in QUEUE:
        code = 0 if collect_only else train(name)
        collect(name)
        if code:
            return code
    return 0


def train(name: str) -> int:
    """Train what is left of a grid; several cells get a core each, which is faster than in turn on all of them."""
    left = [cell.name for cell in load_grid(str(grid_file(name))).cells if not is_copied(name, cell.name)]
    if not left:
        return 0
    command = [sys.executable, "-m", "surefoot", "bench", str(grid_file(name)), "--out", str(RUNS / name)]
    for cell in left:
        command += ["--cells", cell]
    with raised_as_interrupts():
        process = subprocess.Popen(command)
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.terminate()  # its cells then write a checkpoint


def collect(name: str) -> None:
    """Copy logs and configuration of the finished cells of a grid to ``results/NAME/CELL``."""
    if not (RUNS / name).is_dir():
        return
    folder = GridFolder.open(RUNS / name)
    for cell in GridReader(folder).read():
        kept, run = RESULTS / name / cell.name, folder.run_path(cell.name)
        if cell.state != "finished" or is_copied(name, cell.name):
            continue
        copy_run(run, kept, ["surefoot", "bench", f"results/grids/{name}.toml"])
        print(f"{cell.name}: copied to {kept.relative_to(RESULTS.parent)}")


def is_copied(name: str, cell: str) -> bool:
    """Return whether a cell of a grid is among the results."""
    return (RESULTS / name / cell / "config.json").exists()


def copy_run(run: Path, kept: Path, command: list[str]) -> None:
    """Copy logs and configuration of a run, which may be training, to a folder.

    Args:
        run: Run directory.
        kept: Folder of the copies; made where it is missing.
        command: Command recorded in place of the cell's own process, whose arguments are paths of one machine.
    """
    kept.mkdir(parents=True, exist_ok=True)
    for log in COPIED:
        if (run / log).exists():
            write_file(kept / log, (run / log).read_bytes())
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["command"] = command
    write_file(kept / "config.json", (json.dumps(config, indent=2) + "\n").encode())


def grid_file(name: str) -> Path:
    """Return the file of a grid."""
    return RESULTS / "grids" / f"{name}.toml"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
