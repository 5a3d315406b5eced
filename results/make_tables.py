"""Tables behind docs/evidence.md, from the files in this folder.

.venv/bin/python -m results.make_tables
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
from results.released import NAMES, all_seeds, authors_seeds, published_mean, released_runs

from surefoot.report.runs import ReportRun, load_runs
from surefoot.report.statistics import Scores, estimate, iqm
from surefoot.runs import read_diagnostics

HERE = Path(__file__).parent


NEIGHBOURS = {"BRO": 2, "SimBa": 2, "XQC": 2}
"""Published algorithms and UTDs next to ours."""


def main() -> None:
    """Print the released values' results, norms, scores, the effect of precision and overlap, and presets."""
    print("## as released\n")
    print("| task | algorithm | env steps | result | its authors | " + " | ".join(NEIGHBOURS) + " |")
    print("|---" * (5 + len(NEIGHBOURS)) + "|")
    for (task, preset), runs in released_runs().items():
        print(released_row(task, preset, runs))
    groups: dict[tuple[str, int | Fraction], list[ReportRun]] = defaultdict(list)
    for run in load_runs([HERE / "width-128", HERE / "utd-narrow", HERE / "wn-pilot"]):
        size = "full size" if run.path.parent.name == "wn-pilot" else "narrow"
        groups[f"{run.task}, {run.name}, {size}", run.utd].append(run)
    print("\n## norms\n")
    for key in sorted(groups):
        for row in norms(*key, groups[key]):
            print(row)
    print("\n## scores\n")
    for key in sorted(groups):
        print(scores(*key, groups[key]))
    print("\n## precision and overlap\n")
    for run in load_runs(
        [HERE / "width-128" / "cheetah-run--crossq-wn-w128--u2--s0-4", HERE / "precision", HERE / "overlap"]
    ):
        print(scores(f"{run.task} {folder_label(run)}", run.utd, [run]))
    print("\n## presets\n")
    for run in load_runs([HERE / "presets"]):
        ends = [run.scores[:, 0].mean(), run.scores[:, -1].mean(), np.nanmax(run.scores.mean(axis=0))]
        print(
            f"| `{folder_label(run)}` | {run.task} | {run.utd} | {float(run.utd) / run.protocol.action_repeat:g} | "
            f"{int(run.env_steps[-1]):,} | "
            f"{' | '.join(shown(score, run.suite) for score in ends)} | "
            f"{run.wall_seconds[-1] / 60:.0f} min |"
        )


def folder_label(run: ReportRun) -> str:
    """Return the algorithm in the name of a run's folder, with its suffix."""
    return run.path.name.split("--")[1]


def shown(score: float, suite: str) -> str:
    """Return a score as a share of solved episodes on MyoSuite, else as a return of at most 1000."""
    return f"{score:.0%}" if suite == "myosuite" else f"{score * 1000:.0f}"


def released_row(task: str, preset: str, runs: list[ReportRun]) -> str:
    """Return the scores at the last step, mean and each seed, next to those of the authors and of others."""
    steps, scores = all_seeds(runs)
    last, suite = int(steps[-1]), runs[0].suite
    ours = shown(scores[:, -1].mean(), suite)
    if len(scores) > 1:
        ours += f" ({', '.join(shown(score, suite) for score in scores[:, -1])})"
    at, returns = authors_seeds(preset, task)
    theirs = ""
    if last in at:
        values = returns[:, list(at).index(last)]
        spread = f" ({min(values):.0f} to {max(values):.0f}, {len(values)} seeds)" if len(values) > 1 else " (one run)"
        theirs = f"{values.mean():.0f}{spread}"
    elif (mean := published_mean(NAMES.get(preset, ""), runs[0].utd, task, last)) is not None:
        theirs = shown(mean if suite == "myosuite" else mean / 1000, suite)
    means = [published_mean(name, utd, task, last) for name, utd in NEIGHBOURS.items()]
    others = ["" if mean is None else shown(mean if suite == "myosuite" else mean / 1000, suite) for mean in means]
    return f"| {task} | `{preset}` | {last:,} | {ours} | {theirs} | " + " | ".join(others) + " |"


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
        value, low, high = (shown(float(part[at]), runs[0].suite) for part in (found.value, found.low, found.high))
        cells.append(f"{value} [{low}, {high}]")
    minutes = sum(run.wall_seconds[-1] for run in runs) / 60
    return f"| `{name}` | {utd} | {utd / 2:g} | {len(own.values[0])} | " + " | ".join(cells) + f" | {minutes:.0f} min |"


if __name__ == "__main__":
    main()
