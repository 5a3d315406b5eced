"""Learning curves on the pages of the presets, and the tables below them.

.venv/bin/python -m results.make_curves
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from results.released import all_seeds, released_runs

from surefoot.algorithms import to_data
from surefoot.algorithms.presets import get_preset
from surefoot.report.published import published_curves
from surefoot.report.runs import ReportRun, load_runs

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
OTHER_FIGURE = "crossq-wn-code"
"""Preset whose page has the README's figure."""

PUBLISHED = {"bro": "BRO", "flashsac": "FlashSAC", "sac": "SAC", "simba": "SimBa", "sr-sac": "SR-SAC", "xqc": "XQC"}
FULL = "the preset's networks"
RELEASED = "the preset's networks, temperature of `crossq-wn-code`"
EARLIER = {
    "cartpole-swingup--bro-w128--u10--s0-0": "25 quantiles, action repeat 2",
    "cartpole-swingup--crossq-2024-w128--u5--s0-0": "learning rate 1e-3, Ioffe's renormalisation",
    "cartpole-swingup--droq--u20--s0-0": "temperature loss with factor $\\alpha$, epsilon 1e-6",
    "cartpole-swingup--redq-w128--u20--s0-0": "temperature loss with factor $\\alpha$",
    "walker-run--xqc-w128--u2--s0-0": "weight decay 0.01, temperature's learning rate 1e-4",
}
"""Run -> its values that the preset no longer has."""
LABELS = {FULL: "", RELEASED: ", temperature of crossq-wn-code"}
"""Setting -> what a label adds to the UTD; other settings are narrow networks."""
COLOURS = ("#0072B2", "#D55E00", "#009E73")
END = "([Evidence](../evidence.md))."
"""End of the block that this script writes into a page; it starts with the picture."""


def main() -> None:
    """Draw the picture and write the table of every preset."""
    presets: dict[str, dict[tuple[str, int | Fraction, str], list[ReportRun]]] = defaultdict(lambda: defaultdict(list))
    for run in [*load_runs([HERE / "presets", HERE / "wn-pilot"]), *chain.from_iterable(released_runs().values())]:
        if run.name != OTHER_FIGURE:
            presets[run.name][run.task, run.utd, setting(run)].append(run)
    (DOCS / "assets" / "curves").mkdir(parents=True, exist_ok=True)
    for name, groups in presets.items():
        curves = [Curve(*key, *all_seeds(runs), runs[0].suite) for key, runs in sorted(groups.items())]
        draw(name, curves)
        page = DOCS / "algorithms" / f"{name}.md"
        written = block(name, curves)
        before, _, rest = page.read_text().partition(written.partition("\n")[0])
        page.write_text(f"{before}{written}{rest.partition(END)[2]}")


class Curve(NamedTuple):
    """Seeds of one task, UTD and setting: env steps [T] and scores [S, T]."""

    task: str
    utd: int | Fraction
    setting: str
    env_steps: np.ndarray
    scores: np.ndarray
    suite: str

    @property
    def scale(self) -> float:
        """Return of a score of 1; on MyoSuite a score is a share of solved episodes."""
        return 1.0 if self.suite == "myosuite" else 1000.0


def draw(name: str, curves: list[Curve]) -> None:
    """Draw a preset's curves, task by task, with its authors' published ones."""
    tasks = sorted({curve.task for curve in curves})
    figure, grid = plt.subplots(1, len(tasks), figsize=(4.2 * len(tasks), 3.2), squeeze=False, constrained_layout=True)
    for axes, task in zip(grid[0], tasks, strict=True):
        own = [curve for curve in curves if curve.task == task]
        for curve, colour in zip(own, COLOURS, strict=False):
            steps, values = curve.env_steps / 1000, curve.scores * curve.scale
            label = f"UTD {curve.utd}{LABELS.get(curve.setting.partition('; ')[0], ', narrow networks')}"
            axes.plot(steps, values.mean(axis=0), color=colour, marker="o", markersize=3, label=label)
            if len(values) > 1:
                axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0)
        last = max(int(curve.env_steps[-1]) for curve in own)
        for theirs in published_curves({task}):
            if name in PUBLISHED and theirs.label.startswith(f"{PUBLISHED[name]} UTD "):
                points = zip(theirs.env_steps, theirs.score, strict=True)
                near = [(x / 1000, y * own[0].scale) for x, y in points if x <= last]
                if len(near) > 1:
                    label = f"{theirs.label} (published, {theirs.num_seeds} seeds)"
                    line = "--" if len(near) > 3 else "none"  # which would suggest a curve between two points
                    axes.plot(
                        *zip(*near, strict=True), color="0.5", linestyle=line, marker="D", markersize=4, label=label
                    )
        axes.set_title(task, fontsize=9)
        axes.set_xlabel("environment steps (thousands)", fontsize=8)
        axes.set_ylabel("share solved" if own[0].suite == "myosuite" else "return, 5 episodes", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2))
    figure.savefig(DOCS / "assets" / "curves" / f"{name}.png", dpi=120, metadata={"Software": None})
    plt.close(figure)


def setting(run: ReportRun) -> str:
    """Return the sizes of a run's networks, and what else differs from the preset."""
    earlier = EARLIER.get(run.path.name)
    return sizes(run) if earlier is None else f"{sizes(run)}; {earlier}"


def sizes(run: ReportRun) -> str:
    """Return the sizes of a run's networks, and whether its temperature is that of ``crossq-wn-code``."""
    default = to_data(get_preset(run.name, utd=run.utd))
    if all(shape(run.algorithm[key]) == shape(default[key]) for key in ("actor", "critic")):
        released = to_data(get_preset("crossq-wn-code"))["temperature"]
        if default["temperature"] != released and run.algorithm["temperature"] == released:
            return RELEASED
        return FULL
    return f"critics {shape(run.algorithm['critic'])}, policy {shape(run.algorithm['actor'])}"


def shape(torso: dict[str, object]) -> str:
    """Return a torso's size."""
    if isinstance(widths := torso.get("widths"), list):
        return "x".join(map(str, widths))
    return f"{torso['part']}({torso['width']}, {torso['blocks']})"


def block(name: str, curves: list[Curve]) -> str:
    """Return the picture and the table of a preset's runs."""
    rows = []
    for curve in curves:
        means = curve.scores.mean(axis=0)
        shown = [f"{value:.0%}" if curve.scale == 1 else f"{value * curve.scale:.0f}" for value in means]
        first, last, best = shown[0], shown[-1], shown[int(np.nanargmax(means))]
        cells = (
            curve.task,
            curve.utd,
            curve.setting,
            len(curve.scores),
            f"{curve.env_steps[-1]:,}",
            first,
            last,
            best,
        )
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    what = "solved" if all(curve.scale == 1 for curve in curves) else "return"
    return "\n".join(
        [
            f"![Learning curves of {name}](../assets/curves/{name}.png)",
            "",
            f"| task | UTD | setting | seeds | environment steps | {what} at the start | at the end | at best |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Deterministic policy, 5 episodes per point; short runs only {END}",
        ]
    )


if __name__ == "__main__":
    main()
