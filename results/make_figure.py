"""Figures of the README, of docs/evidence.md and of docs/environments.md, from the files in this folder.

.venv/bin/python -m results.make_figure
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from results.released import NAMES, all_seeds, authors_seeds, released_runs

from surefoot.report.runs import ReportRun, load_runs
from surefoot.runs import read_diagnostics, read_evaluations

HERE = Path(__file__).parent
ASSETS = HERE.parent / "docs" / "assets"
PILOT = {"crossq": ("CrossQ", "#D55E00"), "crossq-wn": ("CrossQ + WN", "#0072B2")}
"""Label and colour of a preset in the figure of weight normalisation at UTD 5."""
TASKS = ("cheetah-run", "dog-stand", "walker-run")
PRESETS = {"crossq-wn-code": ("#0072B2", "top"), "xqc": ("#D55E00", "bottom")}
"""Colour of a preset in the README's figure, and which side of the label is at its curves."""


def main() -> None:
    """Draw all figures."""
    draw_released()
    draw_pilot()
    draw_utd()
    draw_environments()


def draw_released() -> None:
    """Draw what we and the authors measured with the released values, one axis per task."""
    runs = released_runs()
    figure, axes = plt.subplots(1, len(TASKS), figsize=(10.8, 3.6), sharey=True, constrained_layout=True)
    for axis, task in zip(axes, TASKS, strict=True):
        for preset, (colour, side) in PRESETS.items():
            ends: list[float] = []  # returns near the right end, which the label avoids
            if (task, preset) in runs:
                steps, scores = all_seeds(runs[task, preset])
                returns = scores * 1000
                low, high = returns.min(axis=0), returns.max(axis=0)
                axis.plot(steps / 1000, returns.mean(axis=0), color=colour, linewidth=2.4)
                axis.fill_between(steps / 1000, low, high, color=colour, alpha=0.18, linewidth=0)
                ends += [*low[steps >= 60_000], *high[steps >= 60_000]]
            steps, returns = authors_seeds(preset, task)
            mean = returns.mean(axis=0)
            if len(steps) > 1:
                axis.plot(steps / 1000, mean, color=colour, linewidth=1.4, linestyle="--")
            else:
                reach = np.abs(np.stack([returns.min(axis=0), returns.max(axis=0)]) - mean)
                axis.errorbar(steps / 1000, mean, reach, color=colour, marker="D", markersize=5, capsize=4, zorder=4)
            ends += [*returns[:, steps >= 60_000].flat]
            place = min(ends) - 15 if side == "top" else max(ends) + 15
            axis.text(100, place, NAMES[preset], color=colour, fontsize=11, ha="right", va=side, weight="bold")
        axis.set_title(task, fontsize=12)
        axis.set_ylim(0, 1000)
        axis.set_xlim(0, 103)
        axis.set_xlabel("environment steps (thousands)")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("return (at most 1000)")
    lines = {
        "surefoot": Line2D([], [], color="0.25", linewidth=2.4),
        "authors' code, one run": Line2D([], [], color="0.25", linewidth=1.4, linestyle="--"),
        "published, ten seeds": Line2D([], [], color="0.25", linestyle="none", marker="D", markersize=5),
    }
    figure.legend(list(lines.values()), list(lines), loc="outside upper center", ncols=3, frameon=False, fontsize=11)
    figure.savefig(ASSETS / "learning-curves.png", dpi=150, metadata={"Software": None})
    plt.close(figure)


def draw_pilot() -> None:
    """Draw returns, weight norms and effective learning rates at UTD 5 and full size, one row per task."""
    layer, rate = "critic_weight_norm/torso/dense_1", "critic_effective_learning_rate"
    pairs: dict[str, list[ReportRun]] = defaultdict(list)
    for run in load_runs([HERE / "wn-pilot"]):
        pairs[run.task].append(run)
    pairs = {task: runs for task, runs in pairs.items() if len(runs) == len(PILOT)}  # the other one may be unfinished
    size = (10.5, 2.7 * len(pairs))
    figure, grid = plt.subplots(len(pairs), 3, figsize=size, squeeze=False, constrained_layout=True)
    for (left, middle, right), (task, runs) in zip(grid, sorted(pairs.items()), strict=True):
        solved = runs[0].suite == "myosuite"
        for run in runs:
            label, colour = PILOT[run.name]
            style: dict[str, Any] = {"color": colour, "linewidth": 1.8, "label": label}
            log = read_diagnostics(run.path)
            steps, trained = log["env_steps"] / 1000, log["grad_steps"] > 0
            left.plot(run.env_steps / 1000, run.scores.mean(axis=0) * (1 if solved else 1000), **style)
            middle.plot(steps, log[layer] / log[layer][0], **style)
            right.plot(steps[trained], log[rate][trained], **style)
        left.set_ylabel("share solved" if solved else "return", fontsize=8)
        middle.set_ylabel("weight norm, relative", fontsize=8)
        right.set_ylabel("effective learning rate", fontsize=8)
        left.set_ylim(bottom=0)
        right.set_ylim(bottom=0)
        for axis, what in zip((left, middle, right), ("", ": critics, hidden layer 2", ": critics"), strict=True):
            axis.set_title(f"{task}{what}", fontsize=9)
            axis.set_xlabel("environment steps (thousands)", fontsize=8)
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.3)
    lines = grid[0][0].get_legend_handles_labels()
    figure.legend(*lines, fontsize=9, loc="outside lower center", ncols=2, title="UTD 5, one seed each")
    figure.savefig(ASSETS / "weight-normalisation.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def draw_utd() -> None:
    """Draw narrow networks with and without weight normalisation: returns over UTD, and over time at the highest."""
    layer = "critic_weight_norm/torso/dense_1"
    runs = {(run.name.removesuffix("-narrow"), float(run.utd)): run for run in load_runs([HERE / "utd-narrow"])}
    pairs = {utd for _, utd in runs if all((name, utd) in runs for name in PILOT)}  # the other one may be unfinished
    highest, utds = max(pairs), np.array(sorted(pairs))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.0), constrained_layout=True)
    for shift, (name, (label, colour)) in zip((0.97, 1.03), PILOT.items(), strict=True):
        style: dict[str, Any] = {"color": colour, "linewidth": 1.8, "label": label}
        ends = np.stack([runs[name, utd].scores[:, -1] * 1000 for utd in utds])
        mean = ends.mean(axis=1)
        reach = np.abs(np.stack([ends.min(axis=1), ends.max(axis=1)]) - mean)
        left.errorbar(utds * shift, mean, reach, marker="o", markersize=4, capsize=3, **style)
        steps, returns = runs[name, highest].env_steps / 1000, runs[name, highest].scores * 1000
        middle.plot(steps, returns.mean(axis=0), **style)
        middle.fill_between(steps, returns.min(axis=0), returns.max(axis=0), color=colour, alpha=0.18, linewidth=0)
        log = read_diagnostics(runs[name, highest].path)
        at = np.unique(log["env_steps"])
        norms = np.stack([log[layer][log["env_steps"] == step] for step in at], axis=1)
        right.plot(at / 1000, (norms / norms[:, :1]).mean(axis=0), **style)
    left.set_xscale("log", base=2)
    left.set_xticks(utds, [f"{utd:g}" for utd in utds])
    left.set_xlabel("UTD", fontsize=8)
    for axis, what in (
        (left, "return after 100,000 steps"),
        (middle, f"return at UTD {highest:g}"),
        (right, f"weight norm at UTD {highest:g}, relative"),
    ):
        axis.set_ylabel(what, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        if axis is not left:
            axis.set_xlabel("environment steps (thousands)", fontsize=8)
        if axis is not right:
            axis.set_ylim(bottom=0)
    title = "cheetah-run, networks a quarter as wide; mean and range of three seeds"
    figure.legend(*middle.get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=2, title=title)
    figure.savefig(ASSETS / "utd.png", dpi=110, metadata={"Software": None})
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


if __name__ == "__main__":
    main()
