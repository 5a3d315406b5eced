"""``surefoot evaluate``: run a trained policy again."""

from __future__ import annotations

import json as json_format
from dataclasses import dataclass

from surefoot.cli.options import Int, RunPath


@dataclass(frozen=True)
class Evaluate:
    """Run each seed's saved policy, with the deterministic action, on episodes of its task."""

    path: RunPath
    """The run directory."""
    episodes: Int = 5
    """Episodes per seed; the same number always means the same episodes."""
    json: bool = False
    """Print a JSON object instead of a table."""

    def run(self) -> int:
        """Evaluate and print; return the exit code."""
        from surefoot.cli.display import mean
        from surefoot.cli.listing import print_table
        from surefoot.training import api

        result = api.evaluate(self.path, episodes=self.episodes)
        solved = result.successes
        if self.json:
            seeds = [
                {"seed": seed, "return": result.returns[index], "solved": None if solved is None else solved[index]}
                for index, seed in enumerate(result.seeds)
            ]
            print(json_format.dumps({"path": str(self.path), "episodes": self.episodes, "seeds": seeds}, indent=2))
            return 0
        names = [str(seed) for seed in result.seeds]
        rows = [[name, f"{value:.1f}"] for name, value in zip(names, result.returns, strict=True)]
        rows.append(["mean", f"{mean(result.returns):.1f}"])
        if solved is not None:
            for row, share in zip(rows, (*solved, mean(solved)), strict=True):
                row.append(f"{share:.0%}")
        print_table(("seed", "mean return", *(["solved"] if solved is not None else [])), rows)
        return 0
