"""The speed table of ``surefoot bench speed``, and JSON beside it."""

from __future__ import annotations

import json
from pathlib import Path

from surefoot.benchmark.speed import SpeedReport, Spread, measure
from surefoot.errors import UserError

OWN_SBX = Path(".bench/sbx/bin/python")
"""Where ``make bench`` puts SBX."""


def measure_and_print(utd: int, num_seeds: int, rounds: int, task: str, sbx: Path | None, out: Path) -> int:
    """Measure, print the table, write the figures as JSON; return the exit code.

    Args:
        utd: gradient updates per agent step.
        num_seeds: agents trained side by side.
        rounds: measurements of each part.
        task: what the loop plays.
        sbx: a Python that has sbx-rl; None takes that of ``make bench``, if it is there.
        out: the JSON file.

    Raises:
        UserError: one of them is below 1, there is no such task or Python, or the file cannot be written.
    """
    for name, value in (("utd", utd), ("num_seeds", num_seeds), ("rounds", rounds)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")
    if sbx is None and OWN_SBX.exists():
        sbx = OWN_SBX
    report = measure(utd, num_seeds, rounds, task, sbx)
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
        ("agents, UTD, rounds", f"{report.num_seeds}, {report.utd}, {report.rounds}"),
        ("matrix products per update", f"{report.gflop_per_update:.2f} GFLOP"),
        (
            "compiled, all operations",
            f"{report.compiled_gflop_per_update:.2f} GFLOP over {1e3 * report.compiled_gbytes_per_update:.0f} MB",
        ),
        ("machine, 512^3 float32", _line(report.matmul_gflops, "GFLOP/s")),
        ("  bfloat16", _line(report.bf16_matmul_gflops, "GFLOP/s")),
        ("  memory", _line(report.memory_gbytes_per_second, "GB/s")),
        ("limit, float32", f"{limit:.0f} updates/s"),
        ("update alone, float32", _line(report.updates_per_second, "updates/s")),
        ("  of the limit", _share(report.share_of_limit)),
        ("update alone, bf16", _line(report.bf16_updates_per_second, "updates/s")),
        ("  over float32", _times(report.bf16_gain)),
        *_sbx_rows(report),
        (f"with {report.task}", _line(report.loop_updates_per_second, "updates/s")),
        ("  of the update alone", _share(report.loop_share)),
        ("  with --overlap", _line(report.overlap_updates_per_second, "updates/s")),
        ("  over without", _times(report.overlap_gain)),
        ("compilation", f"{report.compile_seconds:.1f} s"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _sbx_rows(report: SpeedReport) -> list[tuple[str, str]]:
    sbx, gain = report.sbx_updates_per_second, report.sbx_gain
    if sbx is None or report.sbx_versions is None:
        return [("SBX CrossQ", "not measured: make bench installs it, or name a Python that has it with --sbx")]
    measured = _line(sbx, f"updates/s, one agent, {report.sbx_versions['device']}")
    rows = [(f"SBX {report.sbx_versions['sbx']} CrossQ", measured)]
    return rows if gain is None else [*rows, ("  ours, float32, over it", _times(gain))]


def _line(spread: Spread, unit: str) -> str:
    return f"{spread.median:.1f} {unit} ({spread.low:.1f} to {spread.high:.1f})"


def _share(spread: Spread) -> str:
    return f"{spread.median:.0%} ({spread.low:.0%} to {spread.high:.0%})"


def _times(spread: Spread) -> str:
    return f"{spread.median:.2f} times ({spread.low:.2f} to {spread.high:.2f})"
