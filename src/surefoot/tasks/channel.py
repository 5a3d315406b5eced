"""Messages between a process and its child, with detection of the other's death."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable

_HEADER = struct.Struct("=Q")

_CHECK_MILLISECONDS = 1000
"""Interval of ``is_alive`` where the system cannot wait for the end of a process."""


class Channel:
    """Messages of bytes through a socket, in order.

    The other process's death is noticed even if its end of the socket stays open in processes that it has started.

    Args:
        connection: This process's end of a pair of sockets.
        other: Id of the other process.
        is_alive: Returns whether the other process still runs.
    """

    def __init__(self, connection: socket.socket, other: int, is_alive: Callable[[], bool]) -> None:
        connection.setblocking(False)
        self._socket, self._is_alive = connection, is_alive
        self._end = _open_process(other)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(connection, select.POLLIN)
        self._writable.register(connection, select.POLLOUT)
        if self._end is not None:
            for poll in (self._readable, self._writable):
                poll.register(self._end, select.POLLIN)

    def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            EOFError, OSError: The other process has ended, or has closed its end.
        """
        left = memoryview(_HEADER.pack(len(message)) + message)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                self._wait(self._writable)

    def receive(self) -> bytes:
        """Wait for the next message.

        Raises:
            EOFError, OSError: The other process has ended, or has closed its end.
        """
        (size,) = _HEADER.unpack(self._read(_HEADER.size))
        return self._read(size) if size else b""

    def close(self) -> None:
        """Close this end. Idempotent."""
        self._socket.close()
        if self._end is not None:
            os.close(self._end)
            self._end = None

    def _read(self, size: int) -> bytes:
        content = bytearray(size)
        left = memoryview(content)
        while left:
            try:
                count = self._socket.recv_into(left)
            except BlockingIOError:
                self._wait(self._readable)
                continue
            if not count:
                raise EOFError
            left = left[count:]
        return bytes(content)

    def _wait(self, poll: select.poll) -> None:
        """Wait until the socket is ready.

        Raises:
            EOFError: The other process has ended, and everything that it sent has been read.
        """
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(_CHECK_MILLISECONDS)}
            if self._socket.fileno() in ready:
                return
            if ready or not self._is_alive():
                if self._socket.fileno() in {descriptor for descriptor, _ in poll.poll(0)}:
                    return  # sent just before the end
                raise EOFError


def _open_process(pid: int) -> int | None:
    """Return a descriptor that becomes readable when a process ends; None where the system has none."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # an old kernel, or a container that does not permit it
            return os.pidfd_open(pid)
    return None
