"""Write src/surefoot/report/published.csv from a table of published learning curves.

    python scripts/make_published.py TABLE.csv

The table has one row per algorithm, UTD, task and number of environment steps, with the columns named below; each row
says whose released evaluation files it was aggregated from. Only tasks of the report's scored suites are kept, and of
each curve at most 41 points.
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
MOST_POINTS = 41


def main(table: str) -> None:
    """Filter, thin out and write."""
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
            writer.writerows(rows[:: -(-len(rows) // MOST_POINTS)])


if __name__ == "__main__":
    main(sys.argv[1])
