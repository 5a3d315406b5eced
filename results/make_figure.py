"""Figures of the README and of docs/evidence.md, and the README's table, from the files in this folder.

.venv/bin/python results/make_figure.py
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from surefoot.runs import read_diagnostics, read_evaluations

HERE = Path(__file__).parent
ASSETS = HERE.parent / "docs" / "assets"
OUT = ASSETS / "learning-curves.png"
WIDTH_128 = {
    "CrossQ, UTD 1": (["cheetah-run--crossq-w128--u1--s0-1"], "#0072B2", "-"),
    "CrossQ, UTD 5": (["cheetah-run--crossq-w128--u5--s0-1"], "#D55E00", "-"),
    "CrossQ + WN, UTD 1": (["cheetah-run--crossq-wn-w128--u1--s0-4"], "#0072B2", "--"),
    "CrossQ + WN, UTD 2": (["cheetah-run--crossq-wn-w128--u2--s0-4"], "#009E73", "--"),
    "CrossQ + WN, UTD 5": (["cheetah-run--crossq-wn-w128--u5--s0-1", "cheetah-run--crossq-wn-w128--u5--s2-4"], "#D55E00", "--"),
}
OWN = {
    "as-released": ("CrossQ + WN, surefoot", "#0072B2", "o"),
    "as-released-seed-2": ("CrossQ + WN, surefoot", "#0072B2", "o"),
    "as-released-xqc": ("XQC, surefoot", "#D55E00", "s"),
    "xqc": ("XQC, surefoot", "#D55E00", "s"),
}
"""Label, colour and marker of the runs in the README's figure; runs of one label and task are seeds of one curve."""
STYLES = {"XQC": ("#D55E00", "s"), "SimBa": ("#009E73", "^"), "BRO": ("#7A7A7A", "D")}


def main() -> None:
    """Draw both figures and print one row per run."""
    draw_width_128()
    draw_environments()
    runs = sorted(path.parent for path in HERE.glob("*/*/evaluations.csv"))
    published = list(csv.DictReader((HERE / "published.csv").open()))
    shown: dict[str, list[Path]] = defaultdict(list)
    for run in runs:
        if run.parent.name in OWN:
            shown[json.loads((run / "config.json").read_text())["task"]].append(run)
    figure, axes = plt.subplots(1, len(shown), figsize=(3.6 * len(shown), 3.1), constrained_layout=True)
    entries: dict[str, Any] = {}
    for axis, (task, own) in zip(np.atleast_1d(axes), sorted(shown.items()), strict=True):
        draw(axis, task, own, published)
        entries |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(list(entries.values()), list(entries), fontsize=8, loc="outside lower center", ncols=len(entries))
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


def draw_environments() -> None:
    """Draw the runs on environments of other packages: return, and success where it is reported."""
    shown = (
        ("Pendulum-v1", "Pendulum-v1", "return", -160.0),
        ("panda_gym:PandaReach-v3", "panda_gym-PandaReach-v3", "success_any", 0.95),
    )
    figure, axes = plt.subplots(1, len(shown), figsize=(7.0, 2.7), constrained_layout=True)
    for axis, (task, name, column, goal) in zip(axes, shown, strict=True):
        (run,) = (HERE / "environments").glob(f"{name}--*")
        log = read_evaluations(run)
        steps = np.unique(log["env_steps"])
        values = [log[column][log["env_steps"] == step].mean() for step in steps]
        axis.plot(steps / 1000, values, color="#0072B2", marker="o", markersize=3)
        axis.axhline(goal, color="0.5", linestyle="--", linewidth=1)
        axis.set_title(task, fontsize=9)
        axis.set_xlabel("environment steps (thousands)", fontsize=8)
        axis.set_ylabel("return" if column == "return" else "episodes solved", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    figure.savefig(ASSETS / "environments.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def curve(run: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return env steps [T], each seed's mean of the task's metric (return or success) [S, T], and wall seconds [T]."""
    log = read_evaluations(run)
    values = log["return"] if np.isnan(log["success_any"]).all() else log["success_any"]
    steps, seeds = np.unique(log["env_steps"]), np.unique(log["seed"])
    means = [[values[(log["env_steps"] == step) & (log["seed"] == seed)].mean() for step in steps] for seed in seeds]
    return steps, np.array(means), np.array([log["wall_seconds"][log["env_steps"] == step].max() for step in steps])


def draw(axis: plt.Axes, task: str, runs: list[Path], published: list[dict[str, str]]) -> None:
    """Draw one task: the mean of our seeds with their range, and published means."""
    curves: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for run in runs:
        curves[OWN[run.parent.name]].append(curve(run))
    for (label, colour, marker), own in curves.items():
        steps, seeds = own[0][0], np.concatenate([seeds for _, seeds, _ in own])
        axis.plot(
            steps / 1000, seeds.mean(axis=0), color=colour, marker=marker, markersize=3, linewidth=1.8, label=label
        )
        axis.fill_between(steps / 1000, seeds.min(axis=0), seeds.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    for name, (colour, marker) in STYLES.items():
        points = [p for p in published if (p["algorithm"], p["task"]) == (name, task)]
        x, y = [int(p["env_steps"]) / 1000 for p in points], [float(p["mean"]) for p in points]
        axis.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1, linestyle="--", label=name)
    axis.set_title(task, fontsize=10)
    axis.set_xlabel("environment steps (thousands)", fontsize=8)
    axis.set_ylabel("success rate" if task.startswith("myo") else "return", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)


def row(run: Path, published: list[dict[str, str]]) -> str:
    """Return a run's row of the table."""
    config = json.loads((run / "config.json").read_text())
    steps, seeds, wall = curve(run)
    mean = seeds.mean(axis=0)
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
