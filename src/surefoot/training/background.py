"""What is done in a thread while the run goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class Background:
    """One job at a time, in a thread of its own, which keeps no process alive.

    Args:
        job: what is done, for a message, such as "the checkpoint that was being written".
    """

    def __init__(self, job: str) -> None:
        self._job = job
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a job was begun of which ``finished`` has not told."""
        return self._thread is not None

    def begin(self, work: Callable[[], None]) -> None:
        """Begin a job; the one before it must be over, and told of by ``finished``."""
        assert self._thread is None, "one job at a time"
        self._thread = threading.Thread(target=self._run, args=(work,), name=self._job, daemon=True)
        self._thread.start()

    def finished(self, wait: bool = False) -> bool:
        """Return True once for every job that is over.

        Args:
            wait: for the one that is under way.

        Raises:
            Exception: what the job raised, once.
        """
        if self._thread is None or (self._thread.is_alive() and not wait):
            return False
        self._thread.join()
        self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return True

    def wait(self, seconds: float) -> None:
        """Wait for the job that is under way, if any, ``seconds`` at most."""
        if self._thread is not None:
            self._thread.join(seconds)

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Leave this block only when nothing is under way any more; an interrupt alone does not wait.

        Where the block raises, a job that fails as well becomes a note on what it raised.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise  # At once, as promised: what is half written was not moved into place yet, and never will be.
        except BaseException as error:
            try:
                self.finished(wait=True)
            except Exception as failure:
                error.add_note(f"{self._job} failed as well: {failure}")
            raise
        self.finished(wait=True)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error
