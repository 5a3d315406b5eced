"""``surefoot sync``: TensorBoard's or W&B's view of a run, made again from its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from surefoot.cli.options import RunPath


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
"""Names of dashboards, at least one where the option is given; ``make_dashboards`` checks them."""


@dataclass(frozen=True)
class Sync:
    """Bring TensorBoard or Weights & Biases to what a run directory holds; doing it twice does no harm."""

    path: RunPath
    """The run directory."""
    to: Annotated[tuple[str, ...], _NAMES]
    """Where to: tensorboard, wandb, or both."""

    def run(self) -> int:
        """Export and say where to look; return the exit code."""
        from surefoot.dashboards import make_dashboards

        for dashboard in make_dashboards(self.to):
            done = dashboard.sync(self.path)
            print(f"{dashboard.title}: exported {done.written:,} of {done.moments:,} points in time")
            if done.written < done.moments:
                print("  the others were there already")
            print(f"  look at them  {done.look}")
        return 0
