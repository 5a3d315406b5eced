"""A run that is asked to stop finishes its agent step, makes a checkpoint and ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self


class StopSignal:
    """Takes note of SIGTERM and SIGINT within a ``with`` block; a second SIGINT interrupts at once.

    Outside of the main thread, where Python delivers no signals, it takes note of nothing.
    """

    def __init__(self) -> None:
        self.received = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Start to listen."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True
