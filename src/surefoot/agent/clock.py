"""Fixed control rate with a count of missed deadlines."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from surefoot.errors import UserError


@dataclass(frozen=True)
class ClockStats:
    """Timing statistics of a control loop.

    Attributes:
        steps: Number of control steps due, missed ones included.
        missed: Number of due times at which the previous step was still running.
        longest_step_seconds: Maximum time from a step's due time to the end of its work.
        latest_wake_seconds: Maximum delay of a step's start after its due time, caused by the operating system and
            Python's lock.
    """

    steps: int
    missed: int
    longest_step_seconds: float
    latest_wake_seconds: float

    @property
    def missed_share(self) -> float:
        """Missed deadlines as a fraction of all steps, 0 to 1."""
        return self.missed / self.steps if self.steps else 0.0


class ControlClock:
    """Clock that starts control steps at a fixed rate: call ``tick`` at the top of the loop.

    Due times lie on a grid that starts with the first ``tick``. A step that runs past the next due time misses it; the
    clock skips missed times instead of catching up with shorter steps.

    Args:
        hz: Control steps per second.

    Attributes:
        period: Seconds between two control steps.

    Raises:
        UserError: ``hz`` is not a positive number.
    """

    def __init__(self, hz: float) -> None:
        if (
            isinstance(hz, bool)
            or not isinstance(hz, int | float | np.integer | np.floating)
            or not (math.isfinite(hz) and hz > 0)
        ):
            raise UserError(f"hz must be a positive number of control steps per second, got {hz!r}")
        self.period = 1.0 / float(hz)
        self._start: float | None = None
        self._step = 0
        self._missed = 0
        self._longest = self._latest_wake = 0.0

    def tick(self) -> None:
        """End the current step and sleep until the next due time."""
        now = time.monotonic()
        if self._start is None:
            self._start = now
            return
        taken = now - (self._start + self._step * self.period)
        self._longest = max(self._longest, taken)
        # First step on the grid that is not yet due.
        following = max(self._step + 1, math.ceil((now - self._start) / self.period))
        self._missed += following - self._step - 1
        self._step = following
        due = self._start + following * self.period
        time.sleep(max(0.0, due - time.monotonic()))
        self._latest_wake = max(self._latest_wake, time.monotonic() - due)

    def stats(self) -> ClockStats:
        """Return the statistics since the first ``tick``."""
        return ClockStats(self._step, self._missed, self._longest, self._latest_wake)
