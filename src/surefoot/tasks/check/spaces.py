"""Checks of the observation and action spaces."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from surefoot.errors import UserError
from surefoot.tasks.check.findings import Findings
from surefoot.tasks.wrappers import TaskEnv, flatten_observations

_WIDE = 1e4
"""Half ranges above this look like placeholders; the widest of common simulators (motor torques in Nm) are smaller."""


def check_spaces(env: gymnasium.Env[Any, Any], findings: Findings) -> bool:
    """Check both spaces; return whether observations can be flattened and actions sampled."""
    if not _check_observation_space(env.observation_space, findings):
        return False
    if isinstance(env, TaskEnv):
        return _check_bounds(env.env_action_low, env.env_action_high, findings)  # its own space is always [-1, 1]
    space = env.action_space
    if not isinstance(space, Box) or space.dtype is None or space.dtype.kind != "f" or not space.low.size:
        findings.add("action-space", str(space))
        return False
    return _check_bounds(space.low, space.high, findings)


def sample_actions(space: Box, steps: int, seed: int) -> np.ndarray:
    """Return uniform random actions [steps, *shape] in the space's dtype; unbounded entries are standard normal."""
    rng = np.random.default_rng(seed)
    low, high = np.broadcast_to(space.low, space.shape), np.broadcast_to(space.high, space.shape)
    bounded = np.isfinite(low) & np.isfinite(high)
    inside = rng.uniform(np.where(bounded, low, 0.0), np.where(bounded, high, 1.0), (steps, *space.shape))
    outside = np.clip(rng.standard_normal((steps, *space.shape)), low, high)
    return np.where(bounded, inside, outside).astype(space.dtype)


def short(space: gymnasium.Space[Any]) -> str:
    """Return a space on one line, with scalar bounds."""
    if isinstance(space, gymnasium.spaces.Dict):
        return f"Dict({', '.join(f'{key}: {short(part)}' for key, part in space.spaces.items())})"
    if not isinstance(space, Box) or not space.low.size:
        return " ".join(repr(space).split())
    return f"Box({space.low.min():g}, {space.high.max():g}, {space.shape}, {space.dtype})"


def _check_observation_space(space: gymnasium.Space[Any], findings: Findings) -> bool:
    try:
        size, _ = flatten_observations(space, "checked")
    except UserError:
        size = 0
    if size == 0:
        findings.add("observation-space", f"{space}, expected a Box or a Dict of Boxes with at least one number")
        return False
    parts = {"observation": space}
    if isinstance(space, gymnasium.spaces.Dict):
        parts = dict(space.spaces)
        sizes = ", ".join(f"{key} [{int(np.prod(part.shape or ()))}]" for key, part in parts.items())
        findings.add("observation-dict", f"in this order: {sizes}")
    for key, part in parts.items():
        if part.dtype == np.uint8 and len(part.shape or ()) >= 2:
            findings.add("observation-pixels", f"{key}: {part}")
    return True


def _check_bounds(low: np.ndarray, high: np.ndarray, findings: Findings) -> bool:
    low, high = low.astype(np.float64).reshape(-1), high.astype(np.float64).reshape(-1)
    half_range = (high - low) / 2.0  # NaN where both bounds are the same infinity
    # Actions are scaled in float32, where the range of Box(-3.4e38, 3.4e38) overflows.
    bad = ~(np.isfinite(half_range) & (2.0 * half_range < np.finfo(np.float32).max) & (half_range > 0.0))
    wide, shifted = half_range > _WIDE, np.abs(low + high) > 1e-6 * half_range

    def add(code: str, mask: np.ndarray) -> None:
        if mask.any():
            index = int(np.argmax(mask))
            findings.add(code, f"action entry {index} lies between {low[index]:g} and {high[index]:g}")

    add("action-bounds", bad)
    if bad.any():
        return bool((high >= low).all())
    add("action-bounds-wide", wide)
    add("action-bounds-asymmetric", shifted)
    return True
