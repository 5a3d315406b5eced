"""Conversion of a table of published learning curves to src/surefoot/report/published.csv.

    python scripts/make_published.py TABLE.csv

The table has one row per algorithm, UTD, task and number of environment steps, with the columns below; `source` names
the released evaluation files from which the row was aggregated. Only tasks of the suites that the report scores are
kept, with at most 41 points per curve.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

OUT = Path(__file__).parents[1] / "src" / "surefoot" / "report" / "published.csv"
COLUMNS = (
    "algorithm",
    "utd",
    "task",
    "metric",
    "env_steps",
    "num_seeds",
    "mean",
    "iqm",
    "iqm_ci90_low",
    "iqm_ci90_high",
    "source",
)
MAX_POINTS = 41


def main(table: str) -> None:
    """Filter the rows, thin out the curves and write the file."""
    curves = defaultdict(list)
    with Path(table).open(newline="") as stream:
        for row in csv.DictReader(stream):
            if "-v" not in row["task"]:
                curves[row["algorithm"], int(row["utd"]), row["task"]].append({name: row[name] for name in COLUMNS})
    with OUT.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for key in sorted(curves):
            rows = sorted(curves[key], key=lambda row: int(row["env_steps"]))
            writer.writerows(rows[:: -(-len(rows) // MAX_POINTS)])


if __name__ == "__main__":
    main(sys.argv[1])
