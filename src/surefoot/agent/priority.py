"""The control thread before all others, where the operating system allows it."""

from __future__ import annotations

import os


class RealtimePriority:
    """Linux's first-in-first-out scheduling of the calling thread, which runs before every ordinary one.

    It takes root, CAP_SYS_NICE, or an `rtprio` limit of at least 1. Elsewhere nothing changes.
    """

    def __init__(self) -> None:
        self.granted = False
        """Whether the last request was granted."""
        self._before: int | None = None

    def acquire(self) -> None:
        """Ask for it."""
        if not hasattr(os, "SCHED_FIFO"):
            return  # macOS
        before = os.sched_getscheduler(0)
        if before & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR):
            self.granted = True  # The control loop has seen to it; it would only be lowered here.
            return
        try:
            # Threads that it starts, those of XLA and BLAS among them, must not inherit this.
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        except OSError:  # not permitted, or not offered by this kernel
            return
        self.granted, self._before = True, before

    def release(self) -> None:
        """Give it back, in the thread that acquired it."""
        if self._before is not None:
            # Only a privileged thread may clear the second flag, and it harms no ordinary one.
            os.sched_setscheduler(0, self._before | os.SCHED_RESET_ON_FORK, os.sched_param(0))
            self._before = None
