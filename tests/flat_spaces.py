"""Spaces of test policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surefoot.spaces import EnvSpaces


def flat_spaces(
    observation: int | Mapping[str, Sequence[int]],
    low: Sequence[float],
    high: Sequence[float],
    dtype: str = "float32",
    shape: Sequence[int] | None = None,
    observation_dtype: str = "float32",
) -> dict[str, Any]:
    """JSON values of spaces with a flat observation, or one with an array of a given shape for each key.

    Bounds are rounded to the dtype of actions.
    """
    shapes: Mapping[str | None, Sequence[int]] = {None: [observation]} if isinstance(observation, int) else observation  # type: ignore[assignment]
    return {
        "observation": [{"key": key, "shape": list(own), "dtype": observation_dtype} for key, own in shapes.items()],
        "action": {
            "shape": list(shape or [len(low)]),
            "dtype": dtype,
            "low": np.array(low, dtype).tolist(),
            "high": np.array(high, dtype).tolist(),
        },
    }


def env_spaces(
    observation: int | Mapping[str, Sequence[int]], low: Sequence[float], high: Sequence[float]
) -> EnvSpaces:
    """Such spaces as an object."""
    return EnvSpaces.from_data(flat_spaces(observation, low, high))
