"""What actions do: at their bounds, at half of them, and at all."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np

from surefoot.tasks.check.monitored_env import Subject
from surefoot.tasks.check.repeatability import Trace, difference, record
from surefoot.tasks.check.report import Notes

_HOLD_STEPS = 20


def check_bounds(make: Callable[[], Subject], seed: int, notes: Notes, *, repeats: bool) -> None:
    """Hold every action at its bounds, and see whether what lies between makes a difference.

    Args:
        make: makes a copy of the environment, whose action bounds are finite.
        seed: of the first episode.
        notes: where findings go.
        repeats: whether the environment gives the same for the same seed and actions; only then can it be told what an
            action changes.

    Raises:
        Unusable: the environment broke.
    """
    subject = make()
    space = subject.env.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    middle = space.low + 0.5 * (space.high - space.low)
    traces: dict[float, Trace] = {}
    for share in (-1.0, 1.0, -0.5, 0.5, 0.0):
        bound: np.ndarray = space.high if share > 0 else space.low
        # At the bounds themselves, exactly: rounding must not carry an action past them.
        held = bound if abs(share) == 1.0 else middle + abs(share) * (bound - middle)
        subject.doing = {
            -1.0: " with every action at its lower bound",
            1.0: " with every action at its upper bound",
        }.get(share, "")
        traces[share] = record(subject, seed, np.broadcast_to(held.astype(space.dtype), (_HOLD_STEPS, *space.shape)))
    if not repeats:
        return
    if not any(difference(traces[0.0], trace) for share, trace in traces.items() if share != 0.0):
        notes.add("action-ignored", f"held at the lower bound, the middle or the upper bound for {_HOLD_STEPS} steps")
        return
    for end, name in ((-1.0, "lower"), (1.0, "upper")):
        moves = difference(traces[0.0], traces[end]) is not None
        if moves and difference(traces[end], traces[end / 2.0]) is None:
            notes.add("action-clipped", f"halfway to the {name} bounds and at them, {_HOLD_STEPS} steps are the same")
