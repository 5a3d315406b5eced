"""``surefoot watch``: progress of runs, from their files alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from surefoot.streams import emit, stdout

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from surefoot.runs.progress import RunProgress, RunsReader

_REFRESH_SECONDS = 2.0
_STYLES = {"running": "cyan", "finished": "green", "stopped": "yellow", "failed": "red", "unreadable": "red"}
_SHOWN_FIRST = ("running", "unreadable", "failed")
"""States shown first on a terminal that is too small for all runs."""

RunPaths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]


@dataclass(frozen=True)
class Watch:
    """Show running and finished runs in a live table, read from their files; Ctrl-C quits."""

    path: RunPaths = (Path("runs"),)
    """Run directories, or directories that contain some, including runs that appear there later."""
    once: bool = False
    """Print the table once, as always if standard output is not a terminal."""

    imports = ("rich.live", "surefoot.cli.runs_table", "surefoot.runs.progress")

    def run(self) -> int:
        """Show the runs; return the exit code."""
        from rich.console import Console

        from surefoot.runs.progress import RunsReader

        reader = RunsReader(self.path)
        console = Console(file=stdout())
        on_terminal = stdout().isatty() and console.is_terminal and not console.is_dumb_terminal
        if on_terminal and not self.once:
            _show_live(reader, console)
        else:
            runs = reader.read()
            emit("\n".join(plain_lines(runs, console.width if on_terminal else None, _blocks())))
        return 0


def plain_lines(runs: Sequence[RunProgress], width: int | None, blocks: str) -> list[str]:
    """Return the table's lines, and one line below it for every unreadable run."""
    from surefoot.cli.runs_table import make_table

    table = make_table(runs, width, blocks)
    return [
        *("  ".join(cells).rstrip() for cells in (table.header, *table.rows)),
        *(f"unreadable: {run.problem}" for run in runs if run.problem),
    ]


def screen(runs: Sequence[RunProgress], width: int, height: int, blocks: str) -> Text:
    """Return the table for a terminal of this size, with the number of runs per state below."""
    from rich.text import Text

    from surefoot.cli.runs_table import counts_text, make_table

    problems = [run for run in runs if run.problem]
    problems, unnamed = problems[: max(1, height // 4)], len(problems[max(1, height // 4) :])
    shown = _most_relevant(runs, max(1, height - 5 - len(problems)))
    table = make_table(shown, width, blocks)
    text = Text(no_wrap=True, overflow="ellipsis").append("  ".join(table.header).rstrip(), style="bold")
    for run, cells in zip(shown, table.rows, strict=True):
        text.append("\n")
        for index, (name, cell) in enumerate(zip(table.columns, cells, strict=True)):
            style = _STYLES[run.state] if name in ("state", "curve") else ""
            text.append("  " if index else "").append(cell, style=style)
    for run in problems:
        text.append(f"\nunreadable: {run.problem}", style=_STYLES[run.state])
    if unnamed:
        text.append(f"\nunreadable: {unnamed} more", style=_STYLES["unreadable"])
    hidden = f" ({len(runs) - len(shown)} not shown)" if len(shown) < len(runs) else ""
    return text.append(f"\n\n{counts_text(runs)}{hidden} · {time.strftime('%H:%M:%S')} · Ctrl-C quits", style="dim")


def _show_live(reader: RunsReader, console: Console) -> None:
    """Refresh the table until Ctrl-C, and leave its last state on the screen."""
    from rich.live import Live

    blocks = _blocks()
    with Live(console=console, auto_refresh=False) as live:
        try:
            while stdout().isatty():  # until the terminal is closed, where SIGHUP is ignored
                live.update(screen(reader.read(), console.width, console.height, blocks), refresh=True)
                time.sleep(_REFRESH_SECONDS)
        except KeyboardInterrupt:
            return


def _most_relevant(runs: Sequence[RunProgress], count: int) -> list[RunProgress]:
    """Return up to ``count`` runs in their order: running and failed ones, then those that changed last."""

    def key(run: RunProgress) -> tuple[int, float]:
        return _SHOWN_FIRST.index(run.state) if run.state in _SHOWN_FIRST else len(_SHOWN_FIRST), -run.changed

    kept = {run.path for run in sorted(runs, key=key)[:count]}
    return [run for run in runs if run.path in kept]


def _blocks() -> str:
    """Return the sparkline characters that standard output can encode."""
    from surefoot.cli.runs_table import ASCII_BLOCKS, BLOCKS

    return BLOCKS if (stdout().encoding or "").lower().startswith("utf") else ASCII_BLOCKS
