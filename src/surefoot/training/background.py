"""Writing to the disk while the run goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class BackgroundWriter:
    """One write at a time, in a thread of its own, which keeps no process alive."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def begin(self, write: Callable[[], None]) -> None:
        """Begin a write; the one before it must be over, and told of by ``finished``."""
        assert self._thread is None, "one write at a time"
        self._thread = threading.Thread(target=self._run, args=(write,), name="checkpoint", daemon=True)
        self._thread.start()

    def finished(self, wait: bool = False) -> bool:
        """Return True once for every write that is over.

        Args:
            wait: for the one that is under way.

        Raises:
            Exception: what the write raised, once.
        """
        if self._thread is None or (self._thread.is_alive() and not wait):
            return False
        self._thread.join()
        self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return True

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Leave this block only when nothing is written any more; an interrupt alone does not wait.

        Where the block raises, a write that fails as well becomes a note on what it raised.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise  # At once, as promised: what is half written was not moved into place yet, and never will be.
        except BaseException as error:
            try:
                self.finished(wait=True)
            except Exception as failure:
                error.add_note(f"the checkpoint that was being written failed as well: {failure}")
            raise
        self.finished(wait=True)

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:
            self._error = error
