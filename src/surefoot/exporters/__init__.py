"""Dashboards beside a run: TensorBoard and Weights & Biases, both off unless asked for.

The run directory is the truth; an exporter reads its CSV files and can be run again at any time. No JAX.
"""

from __future__ import annotations

from collections.abc import Sequence

from surefoot.errors import UserError, suggest
from surefoot.exporters.base import Exporter, Synced
from surefoot.exporters.moments import Follower, Moment
from surefoot.exporters.tensorboard import TensorBoard
from surefoot.exporters.wandb import WandB

_EXPORTERS: dict[str, type[TensorBoard | WandB]] = {kind.name: kind for kind in (TensorBoard, WandB)}


def make_exporters(names: Sequence[str]) -> list[Exporter]:
    """Make one exporter for each name, with default settings.

    Args:
        names: "tensorboard", "wandb", or both; a repeated one counts once.

    Raises:
        UserError: a name is unknown, or the exporter cannot work as W&B is set up.
        MissingDependency: its package is not installed.
    """
    for name in names:
        if name not in _EXPORTERS:
            valid = " or ".join(_EXPORTERS)
            raise UserError(f"there is no export to {name!r}: expected {valid}{suggest(name, _EXPORTERS)}")
    return [_EXPORTERS[name]() for name in dict.fromkeys(names)]


__all__ = ["Exporter", "Follower", "Moment", "Synced", "TensorBoard", "WandB", "make_exporters"]
