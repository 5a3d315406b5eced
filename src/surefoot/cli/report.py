"""``surefoot report``: figures and tables from run directories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from surefoot.cli.options import Int

ReportPaths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]


@dataclass(frozen=True)
class Report:
    """Make one page with interactive figures, every figure as PNG and PDF, every table as CSV and LaTeX."""

    path: ReportPaths
    """Run directories, or directories that hold some."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report")
    """Folder to make, or an earlier report to replace."""
    interval: Int = 95
    """Percent of the stratified bootstrap intervals: 95 (the paper's first version) or 90 (its revision)."""
    resamples: Int = 2000
    """Resamples of the bootstrap."""
    seed: Int = 0
    """Of the resamples."""

    def run(self) -> int:
        """Write the report; return the exit code."""
        from surefoot.errors import UserError
        from surefoot.report.report import make_report
        from surefoot.report.settings import Settings

        if not self.path:
            raise UserError("report: expected one or more run directories")
        page = make_report(self.path, self.out, Settings(self.interval / 100, self.resamples, self.seed))
        print(f"written to {page}")
        return 0
