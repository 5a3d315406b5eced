"""Standard streams that fail, that cannot encode a text, or that environments write to as well.

The command line, the cells of a grid and the workers own their process and call ``protect`` first. In other programs
the streams are left as they are, and ``show`` writes to them.
"""

from __future__ import annotations

import contextlib
import io
import json
import locale
import math
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self, TextIO, cast

from surefoot.encodable import READABLE, encodable

_RELAY_SECONDS = 1.0
"""Longest time for the display of what was printed last."""


class OutputFailure(Exception):
    """Standard output cannot be written to. It is no OSError, since libraries handle those in ways of their own.

    Attributes:
        closed: Whether the reader of a pipe has closed it, as in ``surefoot tasks | head``.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to standard output: {error.strerror}")
        self.closed = isinstance(error, BrokenPipeError)


class ProtectedStreams:
    """Standard streams of a process of ours, within a ``with`` block.

    Standard error drops what it cannot write. Standard output raises ``OutputFailure`` at its first failure, and drops
    everything after it. Both escape what they cannot encode. Streams that were replaced by other objects are left as
    they are.
    """

    def __init__(self) -> None:
        self.out: TextIO | None = None
        """Standard output for our own texts only, once third-party ones are separated."""
        self.required = True
        """Whether the process needs its standard output."""
        self.relays = False
        """Whether standard output of other code leads to a display."""
        self._raw: _Descriptor | None = None

    def __enter__(self) -> Self:
        """Replace the streams."""
        global _protected
        reserve_descriptors()
        self._before = sys.stdout, sys.stderr, _protected
        if _is_descriptor(sys.stderr, sys.__stderr__, 2):
            sys.stderr = _writer(sys.stderr, _Descriptor(2, lambda _: None), line_buffering=True)
        self._err = sys.stderr
        if _is_descriptor(sys.stdout, sys.__stdout__, 1):
            self._raw = _Descriptor(1, self._report)
            sys.stdout = _writer(sys.stdout, self._raw, line_buffering=self._raw.isatty())
        _protected = self
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the streams."""
        global _protected
        ours = stdout()
        if ours is not self._before[0] and ours is not None:
            with contextlib.suppress(OutputFailure):
                ours.flush()
        if self._raw is not None and self._raw.descriptor != 1:
            os.dup2(self._raw.descriptor, 1)
            os.close(self._raw.descriptor)
        sys.stdout, sys.stderr, _protected = self._before

    def separate(self) -> None:
        """Send to standard error what other code prints on standard output, in Python or C, until the block ends."""
        if self.out is not None:
            return
        self.out = sys.stdout
        if self._raw is not None:
            self.out.flush()
            self._raw.descriptor = os.dup(1)
            os.dup2(2, 1)
        sys.stdout = sys.stderr

    def _report(self, error: OSError) -> None:
        failure = OutputFailure(error)
        if self.required:
            raise failure
        # Not to sys.stderr, which a live display replaces by a stream that leads back to standard output.
        show(_warning(f"{failure}; the run continues without its display"), self._err)


class _Descriptor(io.RawIOBase):
    """Writer to a descriptor, which it does not close. It reports the first failure and then drops everything.

    Args:
        descriptor: Descriptor.
        report: Called with the failure; what it raises reaches the writer.
    """

    def __init__(self, descriptor: int, report: Callable[[OSError], None]) -> None:
        self.descriptor, self._report, self._failed = descriptor, report, False
        self.name = {1: "<stdout>", 2: "<stderr>"}.get(descriptor, str(descriptor))

    def write(self, data: Any) -> int:
        """Write some of the bytes, and return how many."""
        while not self._failed:
            try:
                return os.write(self.descriptor, data)
            except BlockingIOError:  # another program made the terminal or pipe non-blocking
                poll = select.poll()
                poll.register(self.descriptor, select.POLLOUT)
                poll.poll()
            except OSError as error:
                self._failed = True
                self._report(error)
        return len(data)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self.descriptor)


_protected: ProtectedStreams | None = None


def protect(*, required: bool = True) -> None:
    """Use ``ProtectedStreams`` until this process ends.

    Args:
        required: Whether the process needs its standard output.
    """
    ProtectedStreams().__enter__().required = required


def stdout() -> TextIO:
    """Return standard output for texts of our own."""
    return _protected.out if _protected is not None and _protected.out is not None else sys.stdout


def separate_third_party_output() -> None:
    """See ``ProtectedStreams.separate``; does nothing in other programs."""
    if _protected is not None:
        _protected.separate()


@contextlib.contextmanager
def third_party_prints_to(stream: TextIO) -> Iterator[None]:
    """Send to a stream what other code prints on standard output in Python, where that is separated from our texts."""
    if _protected is None or _protected.out is None:
        yield
        return
    before, sys.stdout = sys.stdout, stream
    try:
        yield
    finally:
        sys.stdout = before


@contextlib.contextmanager
def relayed_third_party_output(show_line: Callable[[str], None]) -> Iterator[None]:
    """Pass lines that C code and worker processes print on standard output to a live display, which they would disturb.

    Standard error is left as it is, also where it is the same terminal: the last message of a process that aborts would
    be lost.

    Args:
        show_line: Called with each line, in a thread.
    """
    if _protected is None or _protected.out is None or not os.isatty(2) or os.fstat(1) != os.fstat(2):
        yield
        return
    reading, writing = os.pipe()
    end = f"{os.getpid()}-{id(reading)}-end\n".encode()
    ended = threading.Event()

    def relay() -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if line.endswith(end):
                    line = line.removesuffix(end)
                    ended.set()
                if text := line.decode(errors="replace").rstrip("\r\n"):
                    with contextlib.suppress(Exception):  # the display has failed; who prints must not block
                        show_line(text)

    # It goes on after the block: programs that were started within may still print.
    threading.Thread(target=relay, name="third-party output", daemon=True).start()
    before, _protected.relays = os.dup(1), True
    os.dup2(writing, 1)
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)
        _protected.relays = False
        os.write(writing, end)
        os.close(writing)
        ended.wait(_RELAY_SECONDS)


def continue_without_output() -> None:
    """From here on, a failure of standard output is a warning: the process has work that does not depend on it."""
    if _protected is not None:
        _protected.required = False


def emit_json(data: Any) -> None:
    """Print a command's result as JSON on standard output; numbers that are not finite are null."""
    emit(json.dumps(_finite(data), indent=2, allow_nan=False))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def emit(text: str = "") -> None:
    """Print one line of a command's result on standard output."""
    print(encodable(text, stdout()), file=stdout())


def show(text: str, stream: TextIO | None = None) -> None:
    """Print one line. A failing stream never raises; the first failure of standard output is a warning.

    Args:
        text: Line to print.
        stream: Stream to print to; None for standard output.
    """
    target: TextIO | None = stdout() if stream is None else stream
    if target is None:  # it was closed when Python started
        return
    try:
        print(encodable(text, target), file=target, flush=True)
    except (OSError, ValueError) as error:  # a ValueError if the stream has been closed
        if stream is None:
            _warn_once(str(getattr(error, "strerror", None) or error))


def is_output_failure(error: Exception) -> bool:
    """Return whether an exception is one that ``print`` raises where its stream fails, is closed or cannot encode."""
    return isinstance(error, OSError | UnicodeError) or (isinstance(error, ValueError) and "closed file" in str(error))


def show_error(error: Exception) -> None:
    """Print the line of an expected failure on standard error, if that works."""
    show(f"surefoot: error: {' '.join(str(error).split())}", sys.stderr)


def warn(text: str) -> None:
    """Print a warning of one line on standard error, if that works."""
    show(_warning(text), sys.stderr)


def reserve_descriptors() -> None:
    """Open closed standard descriptors: the next file would get their number, and with it whatever libraries print.

    They are opened for reading, so that writing still fails.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)


def third_party_descriptors() -> tuple[int, int]:
    """Return descriptors for the output and the errors of child processes that run code of others.

    Both are standard error, if this process was started with one, or the former leads to a display.
    """
    errors = _third_party_descriptor()
    return (1 if _protected is not None and _protected.relays else errors), errors


def _third_party_descriptor() -> int:
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2 if sys.__stderr__ is not None else subprocess.DEVNULL


_warned = False


def _warn_once(reason: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warn(f"cannot write to standard output: {reason}; the run continues without its display")


def _warning(text: str) -> str:
    return f"surefoot: warning: {' '.join(text.split())}"


def _is_descriptor(stream: TextIO | None, original: TextIO | None, descriptor: int) -> bool:
    """Return whether a stream is the one that Python made for a descriptor, or none because that was closed."""
    if stream is None or stream is not original:
        return stream is original
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def _writer(replaced: TextIO | None, raw: _Descriptor, *, line_buffering: bool) -> TextIO:
    if replaced is not None:
        with contextlib.suppress(OSError, ValueError):
            replaced.flush()
    encoding = locale.getencoding() if replaced is None else replaced.encoding
    buffered = io.BufferedWriter(cast(io.RawIOBase, raw))
    return io.TextIOWrapper(buffered, encoding, READABLE, line_buffering=line_buffering)
