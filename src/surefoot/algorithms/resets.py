"""Reset times, computed on the host between agent steps so that the compiled update does not depend on them."""

from __future__ import annotations

import math
from fractions import Fraction

from surefoot.algorithms.parts import ResetAt, ResetEvery


def next_reset(
    resets: ResetEvery | ResetAt | None, after: int, *, utd: int | Fraction, warmup: int, action_repeat: int
) -> int | None:
    """Return the first agent step after ``after`` whose updates come right after a reset; None if there is none.

    Args:
        resets: Reset schedule; None for never.
        after: Agent step to search from, exclusive.
        utd: Gradient updates per agent step.
        warmup: Agent steps before the first update; no reset precedes it.
        action_repeat: Env steps per agent step.
    """
    if resets is None:
        return None
    # The first agent step with updates is warmup + 1, and a reset before it would change nothing.
    earliest = max(after + 1, warmup + 2)
    if isinstance(resets, ResetAt):
        return next((step for step in resets.agent_steps if step >= earliest), None)
    # The reset belongs to the agent step after the one that completes a multiple of the interval.
    if resets.env_steps is not None:
        done_before, per_step = (earliest - 2) * action_repeat, action_repeat
        multiple = (done_before // resets.env_steps + 1) * resets.env_steps
        return -(-multiple // per_step) + 1
    assert resets.grad_steps is not None
    done_before = math.floor(max(0, earliest - 2 - warmup) * utd)
    multiple = (done_before // resets.grad_steps + 1) * resets.grad_steps
    return math.ceil(Fraction(multiple) / utd) + warmup + 1
