"""``python -m surefoot.benchmark``: print the speed table and write it as JSON beside."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from surefoot.benchmark.speed import SpeedReport, Spread, measure
from surefoot.errors import UserError


@dataclass(frozen=True)
class Options:
    """Measure gradient updates per second beside the machine's own matrix-product rate."""

    utd: int = 5
    """Gradient updates per agent step."""
    num_seeds: int = 1
    """Agents trained side by side."""
    rounds: int = 9
    """Measurements of each part; medians are reported with the smallest and the largest."""
    out: Path = Path(".bench/speed.json")
    """Where the figures go as JSON."""


def main() -> int:
    """Run and print; return the exit code."""
    options = tyro.cli(Options, description=Options.__doc__)
    try:
        for name in ("utd", "num_seeds", "rounds"):
            if (value := getattr(options, name)) < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        report = measure(options.utd, options.num_seeds, options.rounds)
    except UserError as error:
        print(f"surefoot: error: {error}", file=sys.stderr)
        return 2
    print(table(report))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report.to_data(), indent=2) + "\n")
    print(f"written to {options.out}")
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


if __name__ == "__main__":
    sys.exit(main())
