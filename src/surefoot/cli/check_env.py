"""``surefoot check-env``: problems of an environment, and how to fix them."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from surefoot.cli.options import Int, Keywords, TaskName
from surefoot.streams import emit_json, stdout

if TYPE_CHECKING:
    from rich.console import Console

    from surefoot.tasks.check import CheckReport, Finding, Measurements

_COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_LABEL_WIDTH = 13


@dataclass(frozen=True)
class CheckEnv:
    """Check an environment before training on it; exit code 1 when training would fail or be wrong."""

    task: TaskName
    """Task name, registered Gymnasium id, or module:callable, as for `surefoot train`."""
    env_set: Keywords = ()
    """Keywords with which the environment is made, as for `surefoot train`."""
    steps: Int = 5_000
    """Env steps with random actions; should be several times the environment's time limit."""
    seed: Int = 0
    """Seed of the first episode and of the actions."""
    json: bool = False
    """Print one JSON object instead of text."""

    imports = ("rich.console", "surefoot.tasks.check")

    def run(self) -> int:
        """Print the report; return the exit code."""
        from rich.console import Console

        from surefoot.tasks.check import check_env

        progress = Console(stderr=True)
        shown = progress.is_terminal
        with progress.status(f"checking {self.task}", spinner="line") if shown else contextlib.nullcontext():
            report = check_env(self.task, env_set=dict(self.env_set), steps=self.steps, seed=self.seed)
        if self.json:
            emit_json({"ok": report.ok, **asdict(report)})
        else:
            print_report(report, Console(file=stdout(), highlight=False))
        return 0 if report.ok else 1


def print_report(report: CheckReport, console: Console) -> None:
    """Print the environment's properties, the findings and the verdict."""
    from rich.text import Text

    for name, value in _facts(report):
        _print_entry(console, name, value, label_style="dim")
    for finding in report.findings:
        console.print()
        title = f"{finding.title} [{finding.code}]"
        _print_entry(console, finding.severity, title, label_style=_COLOURS[finding.severity], style="bold")
        for label, text in (("observed", finding.observed), ("effect", finding.effect), ("remedy", finding.remedy)):
            _print_entry(console, f"  {label}", text, label_style="dim")
    console.print()
    console.print(Text(_verdict(report), style="bold green" if report.ok else "bold red"))


def _print_entry(console: Console, label: str, text: str, *, label_style: str, style: str = "") -> None:
    """Print a label and a text wrapped in its own column, without the trailing blanks of a rich table."""
    from rich.text import Text

    width = max(console.width - _LABEL_WIDTH, 20)
    lines = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        start = label if number == 0 else ""
        console.print(Text.assemble((start.ljust(_LABEL_WIDTH), label_style), (line, style)), soft_wrap=True)


def _facts(report: CheckReport) -> list[tuple[str, str]]:
    measured = report.measurements
    facts = [
        ("task", f"{report.task}  ({report.suite})"),
        ("observation", report.observation_space),
        ("action", report.action_space),
        ("time limit", "none declared" if report.horizon is None else f"{report.horizon:,} env steps"),
    ]
    if measured.env_steps:
        facts += [("episodes", _episodes(measured)), ("reward", _reward(measured))]
        facts.append(("speed", f"{measured.steps_per_second:,.0f} steps/s, {_milliseconds(measured)} per reset"))
    if measured.bytes_per_copy is not None:
        mebibytes = measured.bytes_per_copy / 2**20
        facts.append(("memory", f"{f'{mebibytes:.0f} MiB' if mebibytes >= 1 else 'under 1 MiB'} per copy"))
    return facts


def _episodes(measured: Measurements) -> str:
    lengths = measured.episode_lengths
    text = f"{len(lengths)} ended in {measured.env_steps:,} steps of random actions"
    if not lengths:
        return text
    span = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    return f"{text}, after {span} steps: {measured.terminated} terminated, {measured.truncated} truncated"


def _reward(measured: Measurements) -> str:
    if measured.reward_mean is None:
        return "none that can be used"
    return f"{measured.reward_min:.4g} to {measured.reward_max:.4g} per step, mean {measured.reward_mean:.4g}"


def _milliseconds(measured: Measurements) -> str:
    return "?" if measured.reset_seconds is None else f"{1000 * measured.reset_seconds:.2g} ms"


def _verdict(report: CheckReport) -> str:
    counts = [_count(report.findings, severity) for severity in ("error", "warning", "info")]
    found = ", ".join(filter(None, counts)) or "nothing found"
    if not report.ok:
        return f"{found}: training would fail or be wrong"
    return f"{found}: ready to train" if not counts[1] else f"{found}: training works, see the warnings"


def _count(findings: Sequence[Finding], severity: str) -> str:
    number = sum(finding.severity == severity for finding in findings)
    noun = {"info": "note"}.get(severity, severity)
    return f"{number} {noun}{'s' if number > 1 else ''}" if number else ""
