"""Published learning curves, to compare with one's own.

``published.csv`` was aggregated over seeds from the evaluation files that the authors released; every row names its
source. Their protocols differ. MyoSuite's success is counted in different ways (BRO: solved at any step, no early
termination, no action repeat; SimBa, SimbaV2 and XQC: solved at any step as observed after each action repeat; TD-MPC2:
solved at the last step). SimBa and SimbaV2 keep the registered horizons of obj-hold and pen-twirl where the others take
100 steps. Seeds are 2 to 15. Updates are counted per agent step, which is two environment steps where actions repeat.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib import resources

CAVEAT = "published curves are of other protocols: action repeat, success rule and seeds differ"


@dataclass(frozen=True)
class PublishedCurve:
    """The published curve of one algorithm on one task.

    Attributes:
        label: Name and UTD of the algorithm.
        task: Name of the task.
        env_steps: Env steps of the points.
        score: IQM over seeds at each point, on the scale of ``score`` in evaluations.csv.
        num_seeds: Number of seeds.
        source: Origin of the files.
    """

    label: str
    task: str
    env_steps: tuple[int, ...]
    score: tuple[float, ...]
    num_seeds: int
    source: str


def published_curves(tasks: set[str]) -> list[PublishedCurve]:
    """Return the published curves of some tasks, sorted by label."""
    return [curve for curve in _all_curves() if curve.task in tasks]


@cache
def _all_curves() -> list[PublishedCurve]:
    text = (resources.files("surefoot.report") / "published.csv").read_text(encoding="utf-8")
    rows: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in csv.DictReader(text.splitlines()):
        rows[f"{row['algorithm']} UTD {row['utd']}", row["task"]].append(row)
    return [
        PublishedCurve(
            label,
            task,
            tuple(int(row["env_steps"]) for row in own),
            tuple(float(row["iqm"]) / (1000.0 if row["metric"] == "return" else 1.0) for row in own),
            int(own[0]["num_seeds"]),
            own[0]["source"],
        )
        for (label, task), own in sorted(rows.items())
    ]
