"""The speed table of ``surefoot bench speed``, and JSON beside it."""

from __future__ import annotations

import json
from pathlib import Path

from surefoot.benchmark.speed import SpeedReport, Spread, measure
from surefoot.errors import UserError


def measure_and_print(utd: int, num_seeds: int, rounds: int, out: Path) -> int:
    """Measure, print the table, write the figures as JSON; return the exit code.

    Args:
        utd: gradient updates per agent step.
        num_seeds: agents trained side by side.
        rounds: measurements of each part.
        out: the JSON file.

    Raises:
        UserError: one of them is below 1, or the file cannot be written.
    """
    for name, value in (("utd", utd), ("num_seeds", num_seeds), ("rounds", rounds)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")
    report = measure(utd, num_seeds, rounds)
    print(table(report))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report.to_data(), indent=2) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from error
    print(f"written to {out}")
    return 0


def table(report: SpeedReport) -> str:
    """Return the report for a person, one line per quantity: median (smallest to largest)."""
    limit = report.matmul_gflops.median / report.gflop_per_update
    rows = [
        ("device", report.device),
        ("agents, UTD", f"{report.num_seeds}, {report.utd}"),
        ("matrix products per update", f"{report.gflop_per_update:.2f} GFLOP"),
        ("machine, 512^3 float32", _line(report.matmul_gflops, "GFLOP/s")),
        ("limit", f"{limit:.0f} updates/s"),
        ("update alone", _line(report.updates_per_second, "updates/s")),
        ("  of the limit", _share(report.share_of_limit)),
        ("end to end, cheetah-run", _line(report.end_to_end_updates_per_second, "updates/s")),
        ("", _line(report.end_to_end_agent_steps_per_second, "agent steps/s")),
        ("  of the limit", _share(report.end_to_end_share_of_limit)),
        ("compilation", f"{report.compile_seconds:.1f} s"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _line(spread: Spread, unit: str) -> str:
    return f"{spread.median:.1f} {unit} ({spread.low:.1f} to {spread.high:.1f})"


def _share(spread: Spread) -> str:
    return f"{spread.median:.0%} ({spread.low:.0%} to {spread.high:.0%})"
