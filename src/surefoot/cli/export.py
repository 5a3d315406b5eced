"""The ``surefoot export`` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from surefoot.cli.options import RunPath, SeedInt
from surefoot.streams import emit

_OUT = tyro.conf.arg(
    aliases=("-o",), metavar="FILE", help_behavior_hint="(default: the run's name, in the current folder)"
)


@dataclass(frozen=True)
class Export:
    """Write a trained policy as an ONNX model that runs without surefoot, checked against the trained actor."""

    path: RunPath
    """Run directory."""
    seed: SeedInt = None
    """Training seed to export."""
    out: Annotated[Path | None, _OUT] = None
    """ONNX file to write; an existing one is replaced."""

    imports = ("surefoot.export.api",)

    def run(self) -> int:
        """Export the policy, print a summary and return the exit code."""
        from surefoot.export.api import export_policy
        from surefoot.text import printable

        export = export_policy(self.path, seed=self.seed, out=self.out)
        about, size = export.metadata, export.path.stat().st_size
        score = "not evaluated" if about["score"] is None else f"score {about['score']:.3g}"
        observation, action = about["observation"], about["action"]
        inputs = f"[batch, {observation['size']}] {observation['dtype']}"
        outputs = f"[batch, {action['size']}] {action['dtype']}"
        difference = f"{export.max_difference:.1e} on {export.observations:,} stored observations"
        emit(f"{printable(export.path)} ({size / 1e3:,.0f} kB)")
        emit(f"  {about['task']}, {about['algorithm']}, seed {export.seed}, {about['env_steps']:,} env steps, {score}")
        emit(f"  observation {inputs} -> action {outputs}, within the environment's bounds")
        emit(f"  largest difference from the trained actor: {difference}")
        return 0
