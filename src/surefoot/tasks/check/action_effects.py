"""Effects of actions at their bounds, at half of them and at the middle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from surefoot.tasks.check.findings import Findings
from surefoot.tasks.check.monitored_env import MonitoredEnv
from surefoot.tasks.check.repeatability import Episodes, Replay, difference, play

HOLD_STEPS = 20


def check_action_effects(
    make: Callable[[], MonitoredEnv], seed: int, findings: Findings, replay: Replay, steps: int = HOLD_STEPS
) -> None:
    """Compare episodes with constant actions.

    Args:
        make: Creates a copy of the environment.
        seed: Seed of the first episode.
        findings: Collection that findings are added to.
        replay: How episodes repeat; where they do not, effects cannot be compared.
        steps: Number of steps with the same action.

    Raises:
        Unusable: A reset failed.
    """
    env = make()
    held = {"lower": -1.0, "upper": 1.0, "half lower": -0.5, "half upper": 0.5, "middle": 0.0}
    episodes: dict[str, Episodes] = {}
    for name, unit in held.items():
        if episodes and replay.repeats and not replay.outlasts_reset:
            env.close()
            env = make()
        env.action_label = f" with every action at its {name} bound" if name in ("lower", "upper") else ""
        actions = np.full((steps, env.spaces.action.size), unit, np.float32)
        episodes[name] = play(env, seed, actions, pinned=replay.pinned)
    if not replay.repeats or all(step.failed for own in episodes.values() for _, step in own.steps):
        return
    changed = {name: difference(episodes["middle"], episodes[name]) is not None for name in held}
    if not any(changed.values()):
        findings.add("action-ignored", f"held at the bounds, halfway and in the middle for {steps} steps")
        return
    for end in ("lower", "upper"):
        if changed[end] and difference(episodes[end], episodes[f"half {end}"]) is None:
            findings.add("action-clipped", f"at the {end} bounds and halfway to them, {steps} steps are equal")
