"""Messages between two processes, one of which dies."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from surefoot.tasks import channel as channel_module
from surefoot.tasks.channel import Channel


class Pair:
    """A channel to a process that sleeps, and the other end, which stays open here after its death."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "60"])
        own, self.other = socket.socketpair()
        self.channel = Channel(own, self.process.pid, lambda: self.process.poll() is None)

    def kill(self) -> None:
        self.process.kill()
        select.select([], [], [], 0.05)


@pytest.fixture(params=["pidfd", "without"])
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    if request.param == "without":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        monkeypatch.setattr(channel_module, "_CHECK_MILLISECONDS", 50)
    made = Pair()
    yield made
    made.process.kill()
    made.process.wait()
    made.channel.close()
    made.channel.close()  # idempotent
    made.other.close()


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    other = Channel(pair.other, os.getpid(), lambda: True)
    messages = [b"", b"a", b"", os.urandom(3_000_000), b"b"]  # far more than a socket's buffer
    thread = threading.Thread(target=lambda: [pair.channel.send(message) for message in messages])
    thread.start()
    assert [other.receive() for _ in messages] == messages
    thread.join()


def test_death_is_noticed_while_others_hold_the_socket(pair: Pair) -> None:
    threading.Timer(0.1, pair.process.kill).start()
    start = time.monotonic()
    with pytest.raises(EOFError):
        pair.channel.receive()
    with pytest.raises(EOFError):
        pair.channel.send(b"x" * 3_000_000)
    assert time.monotonic() - start < 5


def test_last_words_are_read(pair: Pair) -> None:
    Channel(pair.other, os.getpid(), lambda: True).send(b"done")
    pair.kill()
    assert pair.channel.receive() == b"done"
    with pytest.raises(EOFError):
        pair.channel.receive()


def test_message_cut_off_by_death_is_no_message(pair: Pair) -> None:
    pair.other.send(channel_module._HEADER.pack(100) + b"half")
    pair.kill()
    with pytest.raises(EOFError):
        pair.channel.receive()


def test_closed_end_is_noticed(pair: Pair) -> None:
    pair.other.close()
    with pytest.raises(EOFError):
        pair.channel.receive()
    with pytest.raises(OSError, match="Broken pipe"):
        pair.channel.send(b"")
