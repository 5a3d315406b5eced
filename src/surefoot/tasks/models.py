"""Undoing what an episode wrote into a MuJoCo model."""

from __future__ import annotations

from typing import Any

import numpy as np

_ASSETS = ("bvh_", "mesh_", "names", "oct_", "skin_", "tex_", "text_")
"""Fields no episode writes to: megabytes of textures and meshes that would make every reset slow."""


class ModelSnapshot:
    """The fields of an `MjModel` as they were when it was loaded.

    Tasks draw targets, terrain and sizes into the model itself, and the solver's first iterations of the next reset
    still see them. Restoring the model first is what makes an episode a function of its seed alone.
    """

    def __init__(self, model: Any) -> None:
        """Copy every array field of `model` (a `mujoco.MjModel`) apart from its assets."""
        names = [name for name in dir(model) if not name.startswith(("_", *_ASSETS))]
        fields = [field for name in names if isinstance(field := getattr(model, name), np.ndarray) and field.size]
        self._fields = [(field, field.copy()) for field in fields]

    def restore(self) -> None:
        """Write the copies back."""
        for field, original in self._fields:
            field[...] = original
