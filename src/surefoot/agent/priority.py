"""Real-time priority of the control thread."""

from __future__ import annotations

import os


class RealtimePriority:
    """Linux's SCHED_FIFO for the calling thread, which then runs before all ordinary threads.

    Requires root, CAP_SYS_NICE, or an `rtprio` limit of at least 1; otherwise nothing changes.
    """

    def __init__(self) -> None:
        self.granted = False
        """Whether the last request was granted."""
        self._before: int | None = None

    def acquire(self) -> None:
        """Request the priority; ``granted`` is the result."""
        if not hasattr(os, "SCHED_FIFO"):
            return  # macOS
        before = os.sched_getscheduler(0)
        if before & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR):
            self.granted = True  # Set by the caller; ours is lower.
            return
        try:
            # Threads started later, such as those of XLA and BLAS, must not inherit it.
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        except OSError:  # not permitted, or not offered by this kernel
            return
        self.granted, self._before = True, before

    def release(self) -> None:
        """Restore the previous priority, in the same thread as ``acquire``."""
        if self._before is not None:
            # Only a privileged thread may clear SCHED_RESET_ON_FORK; it has no effect on an ordinary one.
            os.sched_setscheduler(0, self._before | os.SCHED_RESET_ON_FORK, os.sched_param(0))
            self._before = None
