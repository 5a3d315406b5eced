"""State shared between copies of an environment, and state that survives a reset."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from surefoot.tasks.check.findings import Findings
from surefoot.tasks.check.monitored_env import MonitoredEnv
from surefoot.tasks.check.repeatability import OTHER_SEED, Episodes, Replay, difference, play, steps_of

_TRIALS, _OTHERS_STEPS = 24, 5
"""Number of times that another copy is reset and stepped, and its steps. A copy with a state of its own is closer to
the other's state than to its own about half of the time at most: in all trials but one with a probability of about
1.5e-6. One exception is allowed, since both states may be nearly the same by chance."""


def check_shared_state(
    make: Callable[[], MonitoredEnv], seed: int, actions: np.ndarray, replay: Replay, findings: Findings
) -> None:
    """Play a copy alongside another one.

    Args:
        make: Creates a copy of the environment.
        seed: Seed of the first episode.
        actions: Actions [T, A] in [-1, 1].
        replay: How its episodes repeat. Where they do not, the test is whether a copy continues from the state of the
            other one.
        findings: Collection that findings are added to.

    Raises:
        Unusable: The environment failed.
    """
    if not replay.repeats:
        _check_continuation(make, seed, actions, findings)
        return
    alone = play(make(), seed, actions, pinned=replay.pinned)
    env, other = make(), make()
    alongside = Episodes([], [])
    turns = (
        steps_of(env, seed, actions, alongside, pinned=replay.pinned),
        steps_of(other, seed + OTHER_SEED, actions, Episodes([], []), pinned=replay.pinned),
    )
    for _ in zip(*turns, strict=True):
        pass
    if found := difference(alone, alongside):
        findings.add("shared-state", f"stepped alongside another copy, the same episodes differ {found}")


def check_step_after_end(
    make: Callable[[], MonitoredEnv], seed: int, actions: np.ndarray, replay: Replay, findings: Findings
) -> None:
    """Compare the episodes after a finished one with and without a step past its end.

    Raises:
        Unusable: The environment failed.
    """
    if not replay.outlasts_reset:  # an episode differs after any other one, which is a finding of its own
        return
    after = []
    for past_the_end in (False, True):
        env = make()
        earlier = play(env, seed, actions, pinned=replay.pinned)
        end = next((number for number, (_, step) in enumerate(earlier.steps) if step.ended), None)
        if end is None:
            return
        play(env, seed, actions[: end + 1], pinned=replay.pinned)
        if past_the_end:
            env.step_past_the_end(actions[0])
        after.append(play(env, seed, actions, pinned=replay.pinned))
        env.close()
    if found := difference(*after):
        findings.add("step-after-end", f"the episodes after it differ {found}")


def _check_continuation(make: Callable[[], MonitoredEnv], seed: int, actions: np.ndarray, findings: Findings) -> None:
    """Reset a copy, then reset and step another one, and find out from whose state the first one continues."""
    env, other = make(), make()
    own, others, results = [], [], []
    for trial in range(_TRIALS):
        start = env.reset(seed + trial)
        last = other.reset(seed + OTHER_SEED + trial)
        for index in range(_OTHERS_STEPS):
            step = other.step(actions[(trial * _OTHERS_STEPS + index) % len(actions)])
            last = step.observation
            if step.ended:
                break
        result = env.step(actions[trial % len(actions)])
        if not result.failed and np.isfinite([start, last, result.observation]).all():
            own.append(start)
            others.append(last)
            results.append(result.observation)
    if len(results) < _TRIALS:
        return
    scale = np.std(np.array(own + others, np.float64), axis=0)
    moving = scale > 0.0
    distances = [
        np.linalg.norm((np.array(results, np.float64) - np.array(states))[:, moving] / scale[moving], axis=1)
        for states in (own, others)
    ]
    closer = int((distances[1] < distances[0]).sum())
    if closer >= _TRIALS - 1:
        observed = f"after a reset and {_OTHERS_STEPS} steps of another copy, a copy continued from the other's state"
        findings.add("shared-state", f"{observed} in {closer} of {_TRIALS} trials")
