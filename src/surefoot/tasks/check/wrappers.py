"""Wrappers that normalise by statistics of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium.wrappers import NormalizeObservation, NormalizeReward

from surefoot.tasks.check.findings import Findings


def check_wrappers(env: gymnasium.Env[Any, Any], findings: Findings) -> None:
    """Find wrappers whose running statistics every copy of the environment estimates for itself.

    These are Gymnasium's, and classes with the same attributes, such as copies in other libraries.
    """
    for layer in _layers(env):
        own = vars(layer) if hasattr(layer, "__dict__") else {}
        name = type(layer).__name__
        wrapped = f" around {type(inner).__name__}" if (inner := getattr(layer, "env", None)) is not None else ""
        if isinstance(layer, NormalizeObservation) or "obs_rms" in own:
            findings.add("observation-normalised", f"{name}{wrapped}")
        if isinstance(layer, NormalizeReward) or "return_rms" in own or "ret_rms" in own:
            findings.add("reward-normalised", f"{name}{wrapped}")


def _layers(env: gymnasium.Env[Any, Any]) -> Iterator[Any]:
    """Yield the environment and, below each wrapper, the one it wraps."""
    layer: Any = env
    seen: set[int] = set()
    while layer is not None and id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        layer = getattr(layer, "env", None)
