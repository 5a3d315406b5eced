"""Effects of actions at their bounds, at half of them and at the middle."""

from __future__ import annotations

from collections.abc import Callable

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
        make: Creates a copy of the environment.
        seed: Seed of the first episode.
        findings: Collection that findings are added to.
        is_repeatable: Whether episodes are functions of seed and actions; without that, effects cannot be compared.

    Raises:
        Unusable: The environment failed.
    """
    env = make()
    held = {"lower": -1.0, "upper": 1.0, "half lower": -0.5, "half upper": 0.5, "middle": 0.0}
    episodes = {}
    for name, unit in held.items():
        env.action_label = f" with every action at its {name} bound" if name in ("lower", "upper") else ""
        episodes[name] = play(env, seed, np.full((_HOLD_STEPS, env.spaces.action.size), unit, np.float32))
    if not is_repeatable:
        return
    changed = {name: difference(episodes["middle"], episodes[name]) is not None for name in held}
    if not any(changed.values()):
        findings.add("action-ignored", f"held at the bounds, halfway and in the middle for {_HOLD_STEPS} steps")
        return
    for end in ("lower", "upper"):
        if changed[end] and difference(episodes[end], episodes[f"half {end}"]) is None:
            findings.add("action-clipped", f"at the {end} bounds and halfway to them, {_HOLD_STEPS} steps are equal")
