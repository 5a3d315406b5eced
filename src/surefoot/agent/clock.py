"""A fixed control rate on the wall clock, and an honest count of the deadlines it missed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from surefoot.errors import UserError


@dataclass(frozen=True)
class ClockStats:
    """How well a control rate was kept.

    Attributes:
        steps: control steps that should have been taken, missed ones included.
        missed: times of the grid at which no step could begin, because the one before was still at work.
        longest_step_seconds: from a step's nominal beginning to the end of its work, at worst.
        latest_wake_seconds: from a step's nominal beginning to that of its work, at worst: what the operating system
            and Python's lock took.
    """

    steps: int
    missed: int
    longest_step_seconds: float
    latest_wake_seconds: float

    @property
    def missed_share(self) -> float:
        """Missed deadlines as a share of all, 0 to 1."""
        return self.missed / self.steps if self.steps else 0.0


class ControlClock:
    """Control steps at fixed times: call ``tick`` at the top of the loop.

    The times lie on a grid that begins with the first ``tick``. A step's deadline is the next one's time; work that
    ends later misses it, and every time it runs over is passed over rather than caught up on in a burst.

    Args:
        hz: control steps per second.

    Attributes:
        period: seconds between two control steps.

    Raises:
        UserError: ``hz`` is not a positive number.
    """

    def __init__(self, hz: float) -> None:
        if isinstance(hz, bool) or not isinstance(hz, int | float) or not (math.isfinite(hz) and hz > 0):
            raise UserError(f"hz must be a positive number of control steps per second, got {hz!r}")
        self.period = 1.0 / hz
        self._start: float | None = None
        self._step = 0
        self._missed = 0
        self._longest = self._latest_wake = 0.0

    def tick(self) -> None:
        """End the step under way and wait for the time of the next one."""
        now = time.monotonic()
        if self._start is None:
            self._start = now
            return
        taken = now - (self._start + self._step * self.period)
        self._longest = max(self._longest, taken)
        # The first grid time that has not begun yet.
        following = max(self._step + 1, math.ceil((now - self._start) / self.period))
        self._missed += following - self._step - 1
        self._step = following
        due = self._start + following * self.period
        time.sleep(max(0.0, due - time.monotonic()))
        self._latest_wake = max(self._latest_wake, time.monotonic() - due)

    def stats(self) -> ClockStats:
        """Return the counts since the first ``tick``."""
        return ClockStats(self._step, self._missed, self._longest, self._latest_wake)
