"""The ``surefoot report`` command."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from surefoot.cli.options import Int
from surefoot.streams import emit, show

ReportPaths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]


@dataclass(frozen=True)
class Report:
    """Make one page with interactive figures, every figure as PNG and PDF, every table as CSV and LaTeX."""

    path: ReportPaths
    """Run directories, or directories that contain some."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report")
    """Directory to create, or an earlier report to replace."""
    interval: Int = 95
    """Percent covered by the stratified bootstrap intervals."""
    resamples: Int = 2000
    """Number of bootstrap resamples."""
    seed: Int = 0
    """Seed of the resamples."""

    imports = ("surefoot.report.report",)

    def run(self) -> int:
        """Write the report, print its path and return the exit code."""
        from surefoot.errors import UserError
        from surefoot.report.report import Settings, make_report
        from surefoot.text import printable

        if not self.path:
            raise UserError("report: expected one or more run directories")
        settings = Settings(self.interval / 100, self.resamples, self.seed)
        page = make_report(self.path, self.out, settings, _print_left_out)
        emit(f"written to {printable(page)}")
        return 0


def _print_left_out(line: str) -> None:
    show(f"surefoot: left out: {line}", sys.stderr)
