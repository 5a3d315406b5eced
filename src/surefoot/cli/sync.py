"""``surefoot sync``: upload of a run directory to TensorBoard or Weights & Biases."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from surefoot.cli.options import RunPath
from surefoot.streams import emit, show


def _names(strings: list[str]) -> tuple[str, ...]:
    if not strings:
        raise ValueError("expected tensorboard, wandb, or both, got nothing")
    return tuple(strings)


_NAMES: tyro.constructors.PrimitiveConstructorSpec[tuple[str, ...]] = tyro.constructors.PrimitiveConstructorSpec(
    nargs="*",
    metavar="{tensorboard,wandb}...",
    instance_from_str=_names,
    is_instance=lambda _: True,
    str_from_instance=list,
)
DashboardNames = Annotated[tuple[str, ...], _NAMES, tyro.conf.arg(help_behavior_hint="(default: none)")]
"""Names of dashboards, at least one where the option is given; ``make_dashboards`` validates them."""


@dataclass(frozen=True)
class Sync:
    """Write a run directory's logs to TensorBoard or Weights & Biases; only missing rows are written."""

    path: RunPath
    """Run directory."""
    to: Annotated[tuple[str, ...], _NAMES]
    """Dashboards to update: tensorboard, wandb, or both."""

    imports = ("surefoot.dashboards",)

    def run(self) -> int:
        """Update the dashboards and print where they are; return the exit code."""
        from surefoot.dashboards import make_dashboards

        for dashboard in make_dashboards(self.to):
            done = dashboard.sync(self.path)
            for line in done.left_out:
                show(f"surefoot: left out: {line}", sys.stderr)
            emit(f"{dashboard.title}: wrote {done.written:,} of {done.points:,} points")
            if done.written < done.points:
                emit("  the others were already there")
            emit(f"  {done.viewer}")
        return 0
