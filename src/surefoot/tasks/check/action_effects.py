"""Effects of actions at their bounds, at half of them and at the middle."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np

from surefoot.tasks.check.findings import Findings
from surefoot.tasks.check.monitored_env import MonitoredEnv
from surefoot.tasks.check.repeatability import difference, play

_HOLD_STEPS = 20


def check_action_effects(
    make: Callable[[], MonitoredEnv], seed: int, findings: Findings, *, is_repeatable: bool
) -> None:
    """Compare episodes with constant actions.

    Args:
        make: Creates a copy of the environment, whose action bounds are finite.
        seed: Seed of the first episode.
        findings: Collection that findings are added to.
        is_repeatable: Whether episodes are functions of seed and actions; without that, effects cannot be compared.

    Raises:
        Unusable: The environment failed.
    """
    env = make()
    space = env.env.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    middle = space.low + 0.5 * (space.high - space.low)
    # The bounds themselves are exact: rounding must not carry an action past them.
    held = {"lower": space.low, "upper": space.high}
    held |= {f"half {end}": middle + 0.5 * (bound - middle) for end, bound in list(held.items())} | {"middle": middle}
    episodes = {}
    for name, action in held.items():
        env.action_label = f" with every action at its {name} bound" if name in ("lower", "upper") else ""
        actions = np.broadcast_to(action.astype(space.dtype), (_HOLD_STEPS, *space.shape))
        episodes[name] = play(env, seed, actions)
    if not is_repeatable:
        return
    changed = {name: difference(episodes["middle"], episodes[name]) is not None for name in held}
    if not any(changed.values()):
        findings.add("action-ignored", f"held at the bounds, halfway and in the middle for {_HOLD_STEPS} steps")
        return
    for end in ("lower", "upper"):
        if changed[end] and difference(episodes[end], episodes[f"half {end}"]) is None:
            findings.add("action-clipped", f"at the {end} bounds and halfway to them, {_HOLD_STEPS} steps are equal")
