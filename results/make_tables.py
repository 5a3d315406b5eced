"""Tables of docs/evidence.md, from the files in this folder.

.venv/bin/python results/make_tables.py
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np

from surefoot.report.runs import ReportRun, load_runs
from surefoot.report.statistics import Scores, estimate, iqm
from surefoot.runs import read_diagnostics

HERE = Path(__file__).parent


def main() -> None:
    """Print norms, scores, the effect of precision and overlap on returns, and presets."""
    groups: dict[tuple[str, int | Fraction], list[ReportRun]] = defaultdict(list)
    for run in load_runs([HERE / "width-128"]):
        groups[run.name, run.utd].append(run)
    print("## norms\n")
    for key in sorted(groups):
        for row in norms(*key, groups[key]):
            print(row)
    print("\n## scores\n")
    for key in sorted(groups):
        print(scores(*key, groups[key]))
    print("\n## precision and overlap\n")
    for run in load_runs([HERE / "width-128" / "cheetah-run--crossq-wn-w128--u2--s0-4", HERE / "precision", HERE / "overlap"]):
        print(scores(run.path.name, run.utd, [run]))
    print("\n## presets\n")
    for run in load_runs([HERE / "presets"]):
        best = np.nanmax(run.scores.mean(axis=0)) * 1000
        print(
            f"| `{run.path.name}` | {run.task} | {run.utd} | {float(run.utd) / run.protocol.action_repeat:g} | "
            f"{int(run.env_steps[-1]):,} | "
            f"{run.scores[:, 0].mean() * 1000:.0f} | {run.scores[:, -1].mean() * 1000:.0f} | {best:.0f} | "
            f"{run.wall_seconds[-1] / 60:.0f} min |"
        )


def norms(name: str, utd: int | Fraction, runs: list[ReportRun]) -> list[str]:
    """Return diagnostics at the first, the middle and the last step that all seeds reached."""
    logs = [(read_diagnostics(run.path), run) for run in runs]
    steps = sorted(set.intersection(*(set(log["env_steps"].tolist()) for log, _ in logs)))
    after = [step for step in steps if step >= 15_000]
    rows = []
    for step in (after[0], after[len(after) // 2], after[-1]):
        cells = []
        for column in (
            "critic_weight_norm",
            "critic_weight_norm/torso/dense_0",
            "critic_weight_norm/torso/dense_1",
            "critic_weight_norm/head",
            "critic_effective_learning_rate",
            "critic_dead_units",
            "q_bias_mean",
        ):
            values = np.concatenate([log[column][log["env_steps"] == step] for log, _ in logs])
            cells.append(f"{values.mean():.3g}")
        seeds = sum(len(run.seeds) for run in runs)
        rows.append(f"| `{name}` | {utd} | {seeds} | {step:,} | " + " | ".join(cells) + " |")
    return rows


def scores(name: str, utd: int | Fraction, runs: list[ReportRun]) -> str:
    """Return the IQM of returns with its 95% interval at a few steps that all seeds reached."""
    common = sorted(set.intersection(*(set(run.env_steps.tolist()) for run in runs)))
    columns = [np.concatenate([run.scores[:, np.searchsorted(run.env_steps, step)] for run in runs]) for step in common]
    own = Scores([runs[0].task], [np.stack(columns, axis=1)])
    found = estimate(own, iqm, np.random.default_rng(0))
    cells = []
    for step in (20_000, 40_000, 60_000, 80_000, 100_000):
        at = common.index(step) if step in common else None
        if at is None:
            cells.append("-")
            continue
        value, low, high = (float(part[at]) * 1000 for part in (found.value, found.low, found.high))
        cells.append(f"{value:.0f} [{low:.0f}, {high:.0f}]")
    minutes = sum(run.wall_seconds[-1] for run in runs) / 60
    return f"| `{name}` | {utd} | {utd / 2:g} | {len(own.values[0])} | " + " | ".join(cells) + f" | {minutes:.0f} min |"


if __name__ == "__main__":
    main()
