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

    def settled(self) -> contextlib.AbstractContextManager[None]:
        """Return a block that is left only when nothing is under way any more; see ``finishing``."""
        return finishing(self._job, lambda: self.finished(wait=True))

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error


@contextlib.contextmanager
def finishing(job: str, finish: Callable[[], object]) -> Iterator[None]:
    """Do ``finish`` at the end of a block, also of one that raises; an interrupt alone does not wait for it.

    Args:
        job: what is to be finished, for the note on what the block raised where ``finish`` raises as well.
        finish: raises what went wrong.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise  # At once, as promised: what is half written was not moved into place yet.
    except BaseException as error:
        try:
            finish()
        except Exception as failure:
            error.add_note(f"{job} failed as well: {failure}")
        raise
    finish()
