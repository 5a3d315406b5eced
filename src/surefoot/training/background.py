"""Writing to the disk while the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class BackgroundWriter:
    """One write at a time, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._write: Future[None] | None = None

    def begin(self, write: Callable[[], None]) -> None:
        """Begin a write; the one before it must be over, and told of by ``finished``."""
        assert self._write is None, "one write at a time"
        self._write = self._thread.submit(write)

    def finished(self, wait: bool = False) -> bool:
        """Return True once for every write that is over.

        Args:
            wait: for the one that is under way.

        Raises:
            Exception: what the write raised, once.
        """
        if self._write is None or not (wait or self._write.done()):
            return False
        write, self._write = self._write, None
        write.result()
        return True

    def close(self) -> None:
        """Wait for the write that is under way; what it raises is lost, because something else ended the run."""
        self._thread.shutdown(wait=True)
