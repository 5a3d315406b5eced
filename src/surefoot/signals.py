"""Signals: requests to stop, and what they do in each kind of process and phase."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

TYPE_CHECKING = False  # imported before Ctrl-C is handled: typing and threading would take longer than the rest
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Self

INTERRUPTED = 130
"""Exit code after a signal that asks to stop."""


class StopSignal:
    """Records SIGTERM, SIGINT and SIGHUP within a ``with`` block; a second SIGINT raises KeyboardInterrupt.

    Signals that were ignored stay ignored: SIGHUP under nohup, SIGINT in background jobs of shell scripts. Does nothing
    outside of the main thread, where Python delivers no signals.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._previous = _install({number: self._receive for number in numbers if not _is_ignored(number)})
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handlers."""
        _install(self._previous)

    @property
    def received(self) -> bool:
        """Whether a signal has been received."""
        return self._number is not None

    def deliver(self) -> None:
        """After the block, have the recorded signal take the effect that it would have had without the block.

        By default, SIGINT raises KeyboardInterrupt, and SIGTERM and SIGHUP end the process. Without this call, a script
        would go on as if the work within the block had been finished.
        """
        if self._number is not None:
            signal.raise_signal(self._number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._number = number


def exit_at_interrupts() -> None:
    """End this process silently at SIGINT, SIGTERM and SIGHUP from here on.

    For a command line that is still importing modules, and for one that has ended its work: an exception in the middle
    of an import or of Python's own exit is printed, or becomes another one.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    _install({number: lambda *_: os._exit(INTERRUPTED) for number in numbers if not _is_ignored(number)})


@contextlib.contextmanager
def raised_as_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGINT, and once at SIGTERM and SIGHUP, so that commands release what they hold.

    A terminal that closes can send SIGHUP twice, which must not interrupt the release. Ignored signals stay ignored.
    """

    def end(number: int, frame: FrameType | None) -> None:
        _install({other: signal.SIG_IGN for other in previous if other != signal.SIGINT})
        raise KeyboardInterrupt

    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: end, signal.SIGHUP: end}
    previous: dict[int, Any] = {}
    previous |= _install({number: handler for number, handler in handlers.items() if not _is_ignored(number)})
    try:
        yield
    finally:
        _install(previous)


def leave_to_parent() -> None:
    """Ignore requests to stop in this process only: environments must be able to terminate what they start.

    SIG_IGN would be inherited by programs, and a handler is inherited by copies of the process (forks).
    """
    own = os.getpid()

    def ignore(number: int, frame: FrameType | None) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ignore)
        signal.siginterrupt(number, False)
    # With `stty tostop`, a process of a background group that writes to the terminal would be suspended.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)


@contextlib.contextmanager
def blocked_in_children(number: int) -> Iterator[None]:
    """Start processes that never receive a signal; this one receives it after the block.

    Args:
        number: Signal to block. Children inherit the mask of blocked signals.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _install(handlers: dict[int, Callable[[int, FrameType | None], Any] | Any]) -> dict[int, Any]:
    """Set handlers and return the previous ones, by signal. Python allows it in the main thread only."""
    import threading

    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: _restorable(number, signal.signal(number, handler)) for number, handler in handlers.items()}


def _restorable(number: int, handler: Any) -> Any:
    """Return a previous handler, or Python's default for one that C code installed, which Python cannot set again."""
    if handler is None:
        return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    return handler
