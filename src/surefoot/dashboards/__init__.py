"""Optional dashboards of a run: TensorBoard and Weights & Biases, fed from its CSV logs. No JAX."""

from __future__ import annotations

from collections.abc import Sequence

from surefoot.dashboards.base import Dashboard, Synced
from surefoot.dashboards.points import LogFollower, LogPoint
from surefoot.dashboards.tensorboard import TensorBoard
from surefoot.dashboards.wandb import WandB
from surefoot.errors import UserError, suggest

_DASHBOARDS: dict[str, type[TensorBoard | WandB]] = {kind.name: kind for kind in (TensorBoard, WandB)}


def make_dashboards(names: Sequence[str]) -> list[Dashboard]:
    """Make one dashboard for each name, with default settings.

    Args:
        names: "tensorboard", "wandb", or both; repeated ones count once.

    Raises:
        UserError: A name is unknown, or W&B's settings do not allow its use.
        MissingDependency: The dashboard's package is not installed.
    """
    for name in names:
        if name not in _DASHBOARDS:
            valid = " or ".join(_DASHBOARDS)
            raise UserError(f"unknown dashboard {name!r}: expected {valid}{suggest(name, _DASHBOARDS)}")
    return [_DASHBOARDS[name]() for name in dict.fromkeys(names)]


__all__ = ["Dashboard", "LogFollower", "LogPoint", "Synced", "TensorBoard", "WandB", "make_dashboards"]
