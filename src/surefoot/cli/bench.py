"""``surefoot bench``: grids of runs on this machine or a cluster, and their status."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from surefoot.cli.options import AddressName, CellPatterns, GridName, GridOutPath, Int, LimitInt
from surefoot.errors import UserError
from surefoot.signals import StopSignal
from surefoot.streams import continue_without_output, emit, show, stdout
from surefoot.text import printable
from surefoot.training.progress_text import duration_text

if TYPE_CHECKING:
    from surefoot.benchmark.grid import Cell, Grid
    from surefoot.benchmark.launchers import Launcher

_REFRESH_SECONDS = 2.0
_STYLES = {
    "starting": "cyan",
    "running": "cyan",
    "finished": "green",
    "stopped": "yellow",
    "failed": "red",
    "unreadable": "red",
}

BenchPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]


@dataclass(frozen=True)
class Bench:
    """Train every cell of a grid (tasks x algorithms x seeds); finished cells are skipped, others resumed.

    `surefoot bench status DIR` shows the state of a grid.
    """

    grid: GridName
    """A TOML file, or a shipped grid: quick, paper-suites, paper-norms, paper-utd, paper-ablations."""
    cells: CellPatterns = ()
    """Train only the cells whose names match this pattern, such as 'dog-*' or '*--s0-4'."""
    launcher: Literal["local", "ray"] = "local"
    """Where cells run: on this machine, or on a Ray cluster."""
    out: GridOutPath = None
    """Directory of the grid; on a cluster, one on a shared file system."""
    address: AddressName = None
    """Address of the Ray cluster's head, such as 10.0.0.1:6379, or auto for this machine's cluster."""
    max_parallel: LimitInt = None
    """Largest number of concurrent cells."""
    retries: Int = 1
    """Number of restarts of a failed cell; the loss of its machine does not count as a failure."""
    dry_run: bool = False
    """Print the unfinished cells and their estimated cost, from a calibration of about 30 seconds; write nothing."""

    imports = ("surefoot.benchmark.grid_run", "surefoot.benchmark.planning")

    def run(self) -> int:
        """Run the grid; return the exit code."""
        import jax

        from surefoot.benchmark.grid import load_grid

        if self.retries < 0:
            raise UserError(f"retries must be 0 or more, got {self.retries}")
        if self.address is not None and self.launcher != "ray":
            raise UserError(f"address {self.address!r} is that of a Ray cluster: it needs --launcher ray")
        if self.dry_run and self.launcher == "ray":
            raise UserError("--dry-run plans for this machine, not for a Ray cluster: leave out --launcher ray")
        # This process only launches: the accelerator is left to its cells.
        jax.config.update("jax_platforms", "cpu")
        grid = load_grid(self.grid)
        cells = grid.matching(self.cells)
        return self._plan(grid, cells) if self.dry_run else self._run(grid, cells)

    def _run(self, grid: Grid, cells: Sequence[Cell]) -> int:
        from surefoot.benchmark.folder import GridFolder
        from surefoot.benchmark.grid_run import GridRun
        from surefoot.benchmark.planning import cell_cost

        continue_without_output()
        start = time.monotonic()
        memory = {cell.name: cell_cost(cell).memory_bytes for cell in cells}
        left = self._unfinished(grid, cells)
        launcher = self._launcher(len(left), max((memory[cell.name] for cell in left), default=0))
        with launcher, StopSignal() as stop:  # before anything is written
            folder = GridFolder.create(self._path(grid), grid)
            lock = folder.lock()
            lock.acquire()
            try:
                if lock.note is not None:
                    show(lock.note)
                show(f"{grid.name}: {_counted(grid, cells)} in {printable(folder.path)}, {launcher.describe()}")
                outcome = GridRun(folder, launcher, memory, self.retries, _print_timed).run(stop)
            finally:
                lock.release()
        emit(
            f"{len(outcome.finished)} finished, {len(outcome.failed)} failed, {len(outcome.left)} left, "
            f"{duration_text(time.monotonic() - start)}"
        )
        for name in outcome.failed:
            emit(f"failed: {name}, see {printable(folder.log_path(name))}")
        if outcome.left:
            emit("continue with the same command")
        return outcome.exit_code

    def _path(self, grid: Grid) -> Path:
        return self.out or Path("runs") / grid.name

    def _unfinished(self, grid: Grid, cells: Sequence[Cell]) -> list[Cell]:
        """Return those of the cells that are not finished in the grid's directory; nothing is written."""
        from surefoot.benchmark.folder import GridFolder
        from surefoot.runs.progress import RunReader, RunState

        folder = GridFolder.find(self._path(grid), grid)
        if folder is None:
            return list(cells)
        return [cell for cell in cells if RunReader(folder.run_path(cell.name)).read().state is not RunState.FINISHED]

    def _launcher(self, cells: int, cell_bytes: int) -> Launcher:
        if self.launcher == "ray":
            from surefoot.benchmark.ray_launcher import RayLauncher

            return RayLauncher(self.address, self.max_parallel)
        from surefoot.benchmark.local_launcher import LocalLauncher
        from surefoot.machine import free_host_memory

        return LocalLauncher(cells, self.max_parallel, free_host_memory(), cell_bytes)

    def _plan(self, grid: Grid, selected: Sequence[Cell]) -> int:
        from surefoot.benchmark.local_launcher import LocalLauncher
        from surefoot.benchmark.planning import calibrate, cell_cost, shape_of
        from surefoot.cli.bench_tables import makespan, plan_lines
        from surefoot.machine import free_host_memory

        cells = self._unfinished(grid, selected)
        costs = [cell_cost(cell) for cell in cells]
        largest = max((cost.memory_bytes for cost in costs), default=0)
        launcher = LocalLauncher(len(cells), self.max_parallel, free_host_memory(), largest)
        emit(f"{grid.name}: {grid.description}" if grid.description else grid.name)
        if len(cells) < len(selected):
            emit(f"{len(selected) - len(cells)} of {len(selected)} cells are already finished")
        if not cells:
            return 0
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        show("calibrating for about 30 seconds ...", sys.stderr)
        found = calibrate(cells, costs, launcher.cores_each)
        seconds = [found.seconds(cell, cost, launcher.cores_each) for cell, cost in zip(cells, costs, strict=True)]
        emit("\n".join(plan_lines(costs, seconds)))
        measured = sorted({shape_of(cell) for cell in cells} & found.flop_per_second.keys())
        emit(f"\n{launcher.describe()}: about {duration_text(makespan(seconds, launcher.slots))}")
        emit(
            f"measured: updates of {', '.join(measured)}; steps of {', '.join(sorted(found.env_steps_per_second))}; "
            "the rest is assumed to be as slow as the slowest of these"
        )
        if load + launcher.cores_each > cores + 0.9:  # an earlier calibration leaves a load of 0.8
            emit(f"other programs may have run (load {load:.1f} on {cores} cores): alone it takes less time")
        return 0


@dataclass(frozen=True)
class BenchStatus:
    """Show the state of a grid's cells, read from its files; Ctrl-C ends it."""

    path: BenchPath
    """A directory made by `surefoot bench GRID --out DIR`."""
    once: bool = False
    """Print the table once, as it is always done if standard output is not a terminal."""

    imports = ("rich.live", "surefoot.benchmark.status", "surefoot.cli.bench_tables")

    def run(self) -> int:
        """Show the cells; return the exit code."""
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        from surefoot.benchmark.folder import GridFolder
        from surefoot.benchmark.status import GridReader
        from surefoot.cli.bench_tables import status_lines

        reader = GridReader(GridFolder.open(self.path))
        console = Console(file=stdout())
        if self.once or not stdout().isatty() or console.is_dumb_terminal:
            emit("\n".join(line for line, _ in status_lines(reader.read(), problem=reader.problem)))
            return 0
        with Live(console=console, auto_refresh=False) as live, contextlib.suppress(KeyboardInterrupt):
            while stdout().isatty():  # until the terminal is closed, where SIGHUP is ignored
                cells, rows = reader.read(), max(3, console.height - 3)
                text = Text(no_wrap=True, overflow="ellipsis")
                for line, state in status_lines(cells, console.width, rows, reader.problem):
                    text.append(f"{line}\n", style=_STYLES.get(state, ""))
                live.update(text.append("Ctrl-C ends", style="dim"), refresh=True)
                time.sleep(_REFRESH_SECONDS)
        return 0


def _counted(grid: Grid, cells: Sequence[Cell]) -> str:
    return f"{len(cells)} cells" if len(cells) == len(grid.cells) else f"{len(cells)} of {len(grid.cells)} cells"


def _print_timed(line: str) -> None:
    show(f"{time.strftime('%H:%M:%S')} {line}")
