"""``surefoot export``: a trained policy as a file that runs without this library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from surefoot.cli.options import RunPath, SeedInt
from surefoot.errors import UserError

_OUT = tyro.conf.arg(
    aliases=("-o",), metavar="FILE", help_behavior_hint="(default: the run's name, in the current folder)"
)


@dataclass(frozen=True)
class Export:
    """Write a trained policy as one file that runs without surefoot, checked against the trained actor."""

    path: RunPath
    """The run directory."""
    format: Annotated[str, tyro.conf.arg(metavar="{onnx,numpy,stablehlo}")]
    """onnx for ONNX Runtime and its like, numpy for one .npz, stablehlo for JAX and StableHLO compilers."""
    seed: SeedInt = None
    """Training seed whose policy to export."""
    best: bool = False
    """The seed with the best score at the last evaluation; also what happens where no seed is named."""
    out: Annotated[Path | None, _OUT] = None
    """File to write; one that is there is replaced."""

    def run(self) -> int:
        """Export, and say what was written; return the exit code."""
        if self.best and self.seed is not None:
            raise UserError(f"export: --best and --seed {self.seed} exclude each other")
        from surefoot.export.api import export_policy

        export = export_policy(self.path, self.format, seed=self.seed, out=self.out)
        about, size = export.metadata, export.path.stat().st_size
        score = "not evaluated" if about["score"] is None else f"score {about['score']:.3g}"
        sizes = f"[batch, {about['observation']['size']}] -> action [batch, {about['action']['size']}]"
        difference = f"{export.max_difference:.1e} on {export.observations:,} stored observations"
        print(f"{export.path} ({size / 1e3:,.0f} kB)")
        print(f"  {about['task']}, {about['algorithm']}, seed {export.seed}, {about['env_steps']:,} env steps, {score}")
        print(f"  observation {sizes}, float32, within the environment's bounds")
        print(f"  largest difference from the trained actor: {difference}")
        return 0
