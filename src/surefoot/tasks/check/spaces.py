"""Checks of the observation and action spaces."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from surefoot.spaces import ActionSpec, EnvSpaces, UnsupportedSpace
from surefoot.tasks.check.findings import Findings
from surefoot.tasks.spaces import describe_action, describe_spaces
from surefoot.tasks.wrappers import TaskEnv

_WIDE = 1e4
"""Half ranges above this look like placeholders; the widest of common simulators (motor torques in Nm) are smaller."""

_SHOWN_BOUNDS = 8
"""Number of bounds that are listed where they differ."""


def check_spaces(env: gymnasium.Env[Any, Any], findings: Findings) -> EnvSpaces | None:
    """Check both spaces by the rule of training; return their description if they are supported, else None."""
    try:
        spaces = describe_spaces(env.observation_space, env.action_space, "checked")
    except UnsupportedSpace as error:
        space = env.observation_space if error.code == "observation-space" else env.action_space
        findings.add(error.code, f"{space}: {error.reason}")
        if error.code == "observation-space":
            _check_action_space(env.action_space, findings)
        return None
    _check_observation(spaces, findings)
    # The action space of a `TaskEnv` is always [-1, 1].
    _check_bounds(env.spaces.action if isinstance(env, TaskEnv) else spaces.action, findings)
    return spaces


def short(space: gymnasium.Space[Any]) -> str:
    """Return a space on one line."""
    if isinstance(space, gymnasium.spaces.Dict):
        return f"Dict({', '.join(f'{key}: {short(part)}' for key, part in space.spaces.items())})"
    if isinstance(space, gymnasium.spaces.Tuple):
        return f"Tuple({', '.join(map(short, space.spaces))})"
    if not isinstance(space, Box) or not space.low.size:
        return " ".join(repr(space).split())
    return f"Box({_bound(space.low)}, {_bound(space.high)}, {space.shape}, {space.dtype})"


def _bound(bound: np.ndarray) -> str:
    """Return one number if all entries are equal, else a list of the first ones."""
    entries = bound.reshape(-1).tolist()
    if len(set(entries)) == 1:
        return f"{entries[0]:g}"
    shown = [f"{entry:g}" for entry in entries[:_SHOWN_BOUNDS]]
    return f"[{', '.join([*shown, '...'] if len(entries) > _SHOWN_BOUNDS else shown)}]"


def _check_action_space(space: gymnasium.Space[Any], findings: Findings) -> None:
    """Check the action space alone, where the observation space is not supported."""
    try:
        _check_bounds(describe_action(space), findings)
    except UnsupportedSpace as error:
        findings.add(error.code, f"{space}: {error.reason}")


def _check_observation(spaces: EnvSpaces, findings: Findings) -> None:
    if spaces.observation_keys is not None:
        sizes = ", ".join(f"{part.key} [{part.size}]" for part in spaces.observation)
        findings.add("observation-dict", f"in this order: {sizes}")
    for part in spaces.observation:
        if part.dtype == "uint8" and len(part.shape) >= 2:
            findings.add("observation-pixels", f"{part.key or 'observation'}: {part.dtype} {part.shape}")


def _check_bounds(actions: ActionSpec, findings: Findings) -> None:
    low, high = np.array(actions.low), np.array(actions.high)
    half_range = (high - low) / 2.0
    for code, mask in (
        ("action-bounds-wide", half_range > _WIDE),
        ("action-bounds-asymmetric", np.abs(low + high) > 1e-6 * half_range),
    ):
        if mask.any():
            index = int(np.argmax(mask))
            findings.add(code, f"action entry {index} lies between {low[index]:g} and {high[index]:g}")
