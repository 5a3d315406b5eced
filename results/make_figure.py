"""Figures of the README and of docs/evidence.md, and the README's table, from the files in this folder.

.venv/bin/python results/make_figure.py
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from surefoot.runs import read_diagnostics, read_evaluations

HERE = Path(__file__).parent
ASSETS = HERE.parent / "docs" / "assets"
OUT = ASSETS / "learning-curves.png"
WIDTH_128 = {
    "CrossQ, UTD 1": (["crossq-w128-utd1-s0"], "#0072B2", "-"),
    "CrossQ, UTD 5": (["crossq-w128-utd5-s0"], "#D55E00", "-"),
    "CrossQ + WN, UTD 1": (["crossq-wn-w128-utd1-s0"], "#0072B2", "--"),
    "CrossQ + WN, UTD 2": (["crossq-wn-w128-utd2-s0"], "#009E73", "--"),
    "CrossQ + WN, UTD 5": (["crossq-wn-w128-utd5-s0", "crossq-wn-w128-utd5-s2"], "#D55E00", "--"),
}
STYLES = {"XQC": ("#D55E00", "s"), "SimBa": ("#009E73", "^"), "BRO": ("#7A7A7A", "D")}


def main() -> None:
    """Draw both figures and print one row per run."""
    draw_width_128()
    runs = sorted(path.parent for path in HERE.glob("*/*/evaluations.csv"))
    published = list(csv.DictReader((HERE / "published.csv").open()))
    shown = [run for run in runs if run.parent.name == "crossq-wn-code"]
    figure, axes = plt.subplots(1, len(shown), figsize=(3.6 * len(shown), 3.1), constrained_layout=True)
    for axis, run in zip(np.atleast_1d(axes), shown, strict=True):
        draw(axis, run, published)
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=4)
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT, dpi=150)
    print("| task | algorithm | UTD | env steps | seeds | result | wall-clock | neighbours at this step |")
    print("|---|---|---|---|---|---|---|---|")
    for run in runs:
        print(row(run, published))


def draw_width_128() -> None:
    """Draw norms of the critic's hidden layers and returns of the runs with networks a quarter as wide."""
    columns = {
        "critic_weight_norm/torso/dense_0": "weight norm, hidden layer 1",
        "critic_weight_norm/torso/dense_1": "weight norm, hidden layer 2",
        "return": "return",
    }
    figure, axes = plt.subplots(1, len(columns), figsize=(10.5, 2.9), constrained_layout=True)
    for axis, (column, title) in zip(axes, columns.items(), strict=True):
        for label, (folders, colour, line) in WIDTH_128.items():
            read = read_evaluations if column == "return" else read_diagnostics
            logs = [read(HERE / "width-128" / folder) for folder in folders]
            env_steps = np.concatenate([log["env_steps"] for log in logs])
            values = np.concatenate([log[column] for log in logs])
            steps = np.unique(env_steps[env_steps <= 100_000])
            means = [values[env_steps == step].mean() for step in steps]
            axis.plot(steps / 1000, means, color=colour, linestyle=line, label=label)
        axis.set_title(f"cheetah-run, {title}", fontsize=9)
        axis.set_xlabel("environment steps (thousands)", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=5)
    figure.savefig(ASSETS / "width-128.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def curve(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return env steps, the task's metric (return or success) averaged over episodes and seeds, and wall seconds."""
    log = read_evaluations(run)
    values = log["return"] if np.isnan(log["success_any"]).all() else log["success_any"]
    steps = np.unique(log["env_steps"])
    mean = np.array([values[log["env_steps"] == step].mean() for step in steps])
    return steps, mean, np.array([log["wall_seconds"][log["env_steps"] == step].max() for step in steps])


def draw(axis: plt.Axes, run: Path, published: list[dict[str, str]]) -> None:
    """Draw one task."""
    config = json.loads((run / "config.json").read_text())
    steps, mean, _ = curve(run)
    label = f"surefoot CrossQ + WN (UTD {config['algorithm']['utd']}, {config['num_seeds']} seed)"
    axis.plot(steps / 1000, mean, color="#0072B2", marker="o", markersize=3, linewidth=1.8, label=label)
    for name, (colour, marker) in STYLES.items():
        points = [p for p in published if (p["algorithm"], p["task"]) == (name, config["task"])]
        x, y = [int(p["env_steps"]) / 1000 for p in points], [float(p["mean"]) for p in points]
        axis.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1, linestyle="--", label=f"{name} (UTD 2)")
    axis.set_title(config["task"], fontsize=10)
    axis.set_xlabel("environment steps (thousands)", fontsize=8)
    axis.set_ylabel("success rate" if config["task"].startswith("myo") else "return", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)


def row(run: Path, published: list[dict[str, str]]) -> str:
    """Return a run's row of the table."""
    config = json.loads((run / "config.json").read_text())
    steps, mean, wall = curve(run)
    task, algorithm = config["task"], config["algorithm"]
    success = task.startswith("myo")
    result = f"{mean[-1]:.0%} solved" if success else f"return {mean[-1]:.0f}"
    near = [p for p in published if p["task"] == task and int(p["env_steps"]) == steps[-1]]
    neighbours = ", ".join(f"{p['algorithm']} {float(p['mean']):.{2 if success else 0}f}" for p in near)
    minutes = f"{wall[-1] / 60:.0f} min, {config['machine']['device']}"
    cells = (task, algorithm["name"], algorithm["utd"], f"{steps[-1]:,}", config["num_seeds"], result, minutes)
    return "| " + " | ".join(str(cell) for cell in (*cells, neighbours or "not published")) + " |"


if __name__ == "__main__":
    main()
