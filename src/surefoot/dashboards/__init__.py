"""Dashboards beside a run: TensorBoard and Weights & Biases, both off unless asked for.

The run directory is the truth; a dashboard reads its CSV files and can be run again at any time. No JAX.
"""

from __future__ import annotations

from collections.abc import Sequence

from surefoot.dashboards.base import Dashboard, Synced
from surefoot.dashboards.moments import Follower, LogPoint
from surefoot.dashboards.tensorboard import TensorBoard
from surefoot.dashboards.wandb import WandB
from surefoot.errors import UserError, suggest

_DASHBOARDS: dict[str, type[TensorBoard | WandB]] = {kind.name: kind for kind in (TensorBoard, WandB)}


def make_dashboards(names: Sequence[str]) -> list[Dashboard]:
    """Make one dashboard for each name, with default settings.

    Args:
        names: "tensorboard", "wandb", or both; a repeated one counts once.

    Raises:
        UserError: a name is unknown, or the dashboard cannot work as W&B is set up.
        MissingDependency: its package is not installed.
    """
    for name in names:
        if name not in _DASHBOARDS:
            valid = " or ".join(_DASHBOARDS)
            raise UserError(f"unknown dashboard {name!r}: expected {valid}{suggest(name, _DASHBOARDS)}")
    return [_DASHBOARDS[name]() for name in dict.fromkeys(names)]


__all__ = ["Dashboard", "Follower", "LogPoint", "Synced", "TensorBoard", "WandB", "make_dashboards"]
