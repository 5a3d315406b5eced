"""SIGTERM and SIGINT as a request to stop a run after a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self


class StopSignal:
    """Records SIGTERM and SIGINT within a ``with`` block; a second SIGINT raises KeyboardInterrupt.

    Does nothing outside of the main thread, where Python delivers no signals.

    Attributes:
        received: Whether a signal has been received.
    """

    def __init__(self) -> None:
        self.received = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True
