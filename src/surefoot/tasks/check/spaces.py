"""What the spaces alone tell, before anything is reset."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from surefoot.errors import UserError
from surefoot.tasks.check.report import Notes
from surefoot.tasks.wrappers import TaskEnv, flatten_observations

_WIDE = 1e4
"""A half range above this is taken for a placeholder: simulators' widest (a motor's torque in Nm) stay below."""


def check_spaces(env: gymnasium.Env[Any, Any], name: str, notes: Notes) -> bool:
    """Look at both spaces; return whether observations can be flattened and actions drawn, so that others can go on."""
    observation = _check_observations(env.observation_space, name, notes)
    if isinstance(env, TaskEnv):  # the suite's own bounds stand behind the agent's [-1, 1]
        return observation and _check_bounds(env.env_action_low, env.env_action_high, notes)
    return observation and _check_actions(env.action_space, notes)


def draw_actions(space: Box, steps: int, seed: int) -> np.ndarray:
    """Return uniform random actions [steps, *shape] in the space's dtype; unbounded entries are standard normal."""
    rng = np.random.default_rng(seed)
    low, high = np.broadcast_to(space.low, space.shape), np.broadcast_to(space.high, space.shape)
    bounded = np.isfinite(low) & np.isfinite(high)
    inside = rng.uniform(np.where(bounded, low, 0.0), np.where(bounded, high, 1.0), (steps, *space.shape))
    outside = np.clip(rng.standard_normal((steps, *space.shape)), low, high)
    return np.where(bounded, inside, outside).astype(space.dtype)


def _check_observations(space: gymnasium.Space[Any], name: str, notes: Notes) -> bool:
    try:
        size, _ = flatten_observations(space, name)
    except UserError:
        notes.add("observation-space", str(space))
        return False
    if size == 0:
        notes.add("observation-space", f"{space}, which has no numbers")
        return False
    if isinstance(space, gymnasium.spaces.Dict):
        sizes = ", ".join(f"{key} [{part.low.size}]" for key, part in space.spaces.items() if isinstance(part, Box))
        notes.add("observation-dict", f"in this order: {sizes}")
    parts = space.spaces.items() if isinstance(space, gymnasium.spaces.Dict) else [("observation", space)]
    for key, part in parts:
        if part.dtype == np.uint8 and len(part.shape or ()) >= 2:
            notes.add("observation-pixels", f"{key}: {part}")
    return True


def _check_actions(space: gymnasium.Space[Any], notes: Notes) -> bool:
    if not isinstance(space, Box) or space.dtype is None or space.dtype.kind != "f" or not space.low.size:
        notes.add("action-space", str(space))
        return False
    return _check_bounds(space.low, space.high, notes)


def _check_bounds(low: np.ndarray, high: np.ndarray, notes: Notes) -> bool:
    low, high = low.astype(np.float64).reshape(-1), high.astype(np.float64).reshape(-1)
    half_range = (high - low) / 2.0  # NaN where both bounds are the same infinity, which is bad as well
    # Scaling computes in float32, where the range of Box(-3.4e38, 3.4e38), somebody's infinity, overflows.
    bad = ~(np.isfinite(half_range) & (2.0 * half_range < np.finfo(np.float32).max) & (half_range > 0.0))
    if bad.any():
        notes.add("action-bounds", _entry(low, high, int(np.argmax(bad))))
        return bool((high >= low).all())
    if (half_range > _WIDE).any():
        notes.add("action-bounds-wide", _entry(low, high, int(np.argmax(half_range))))
    if (shifted := np.abs(low + high) > 1e-6 * half_range).any():
        notes.add("action-bounds-asymmetric", _entry(low, high, int(np.argmax(shifted))))
    return True


def _entry(low: np.ndarray, high: np.ndarray, index: int) -> str:
    return f"action entry {index} lies between {low[index]:g} and {high[index]:g}"
