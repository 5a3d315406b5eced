"""A job in a thread, with errors raised by the thread that waits for it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from surefoot.errors import RunFailure


class Background:
    """Runs one job at a time in a daemon thread.

    Args:
        job: Description for messages, such as "the checkpoint that was being written".
    """

    def __init__(self, job: str) -> None:
        self._job = job
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Start a job; ``finished`` must have returned True for the previous one.

        Raises:
            RunFailure: The system permits no more threads.
        """
        assert self._thread is None, "one job at a time"
        thread = threading.Thread(target=self._run, args=(work,), name=self._job, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # a limit of threads or memory
            raise RunFailure(f"cannot start a thread for {self._job}: {error}") from error
        self._thread = thread

    def finished(self, wait: bool = False) -> bool:
        """Return True once for every job that has ended.

        Args:
            wait: Wait for the job that is running.

        Raises:
            Exception: Whatever the job raised, once.
        """
        if self._thread is None or (self._thread.is_alive() and not wait):
            return False
        self._thread.join()
        self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return True

    def settled(self) -> contextlib.AbstractContextManager[None]:
        """Return a block that waits at its end for the running job; see ``finishing``."""
        return finishing(self._job, lambda: self.finished(wait=True))

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error


@contextlib.contextmanager
def finishing(job: str, finish: Callable[[], object]) -> Iterator[None]:
    """Call ``finish`` at the end of a block, also after an error, but not after a KeyboardInterrupt.

    Args:
        job: Description for the note that is added to the block's error where ``finish`` raises as well.
        finish: Waits for the job and raises its error.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise  # At once: a partial checkpoint has not been moved into place.
    except BaseException as error:
        try:
            finish()
        except Exception as failure:
            error.add_note(f"{job} failed as well: {failure}")
        raise
    finish()
