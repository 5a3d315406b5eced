"""Learning curves of every preset, drawn from results/presets, and the table on its page.

.venv/bin/python results/make_curves.py
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from surefoot.algorithms import to_data
from surefoot.algorithms.presets import get_preset
from surefoot.report.published import published_curves
from surefoot.report.runs import ReportRun, load_runs

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PUBLISHED = {"bro": "BRO", "sac": "SAC", "simba": "SimBa", "sr-sac": "SR-SAC", "xqc": "XQC"}
COLOURS = ("#0072B2", "#D55E00", "#009E73")
END = "([Evidence](../evidence.md#every-preset))."
"""End of the block that this script writes into a page; it starts with the picture."""


def main() -> None:
    """Draw the picture and write the table of every preset."""
    presets: dict[str, list[ReportRun]] = defaultdict(list)
    for run in load_runs([HERE / "presets"]):
        presets[run.name].append(run)
    (DOCS / "assets" / "curves").mkdir(parents=True, exist_ok=True)
    for name, runs in presets.items():
        draw(name, runs)
        page = DOCS / "algorithms" / f"{name}.md"
        written = block(name, runs)
        before, _, rest = page.read_text().partition(written.partition("\n")[0])
        page.write_text(f"{before}{written}{rest.partition(END)[2]}")


def draw(name: str, runs: list[ReportRun]) -> None:
    """Draw a preset's runs, task by task, with its authors' published curves."""
    tasks = sorted({run.task for run in runs})
    figure, grid = plt.subplots(1, len(tasks), figsize=(4.2 * len(tasks), 2.8), squeeze=False, constrained_layout=True)
    for axes, task in zip(grid[0], tasks, strict=True):
        own = [run for run in runs if run.task == task]
        for run, colour in zip(own, COLOURS, strict=False):
            mean = run.scores.mean(axis=0) * 1000
            label = f"UTD {run.utd}, {networks(run)}"
            axes.plot(run.env_steps / 1000, mean, color=colour, marker="o", markersize=3, label=label)
        last = max(int(run.env_steps[-1]) for run in own)
        for curve in published_curves({task}):
            if name in PUBLISHED and curve.label.startswith(f"{PUBLISHED[name]} UTD "):
                near = [(x / 1000, y * 1000) for x, y in zip(curve.env_steps, curve.score, strict=True) if x <= last]
                if len(near) > 1:
                    label = f"{curve.label} (published, {curve.num_seeds} seeds)"
                    axes.plot(*zip(*near, strict=True), color="0.5", linestyle="--", linewidth=1, label=label)
        axes.set_title(task, fontsize=9)
        axes.set_xlabel("environment steps (thousands)", fontsize=8)
        axes.set_ylabel("return, 5 episodes", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7, frameon=False)
    figure.savefig(DOCS / "assets" / "curves" / f"{name}.png", dpi=120, metadata={"Software": None})
    plt.close(figure)


def networks(run: ReportRun) -> str:
    """Return the sizes of a run's networks."""
    default = to_data(get_preset(run.name, utd=run.utd))
    if all(shape(run.algorithm[key]) == shape(default[key]) for key in ("actor", "critic")):
        return "the preset's networks"
    return f"critics {shape(run.algorithm['critic'])}, policy {shape(run.algorithm['actor'])}"


def shape(torso: dict[str, object]) -> str:
    """Return a torso's size."""
    if isinstance(widths := torso.get("widths"), list):
        return "x".join(map(str, widths))
    return f"{torso['part']}({torso['width']}, {torso['blocks']})"


def block(name: str, runs: list[ReportRun]) -> str:
    """Return the picture and the table of a preset's runs."""
    rows = [
        f"| {run.task} | {run.utd} | {networks(run)} | {len(run.seeds)} | {int(run.env_steps[-1]):,} | "
        f"{run.scores[:, 0].mean() * 1000:.0f} | {run.scores[:, -1].mean() * 1000:.0f} | "
        f"{np.nanmax(run.scores.mean(axis=0)) * 1000:.0f} |"
        for run in sorted(runs, key=lambda run: (run.task, run.utd))
    ]
    return "\n".join(
        [
            f"![Learning curves of {name}](../assets/curves/{name}.png)",
            "",
            "| task | UTD | networks | seeds | environment steps | return at the start | at the end | at best |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Deterministic policy, 5 episodes per point; short runs only {END}",
        ]
    )


if __name__ == "__main__":
    main()
