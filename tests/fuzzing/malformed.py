"""Malformed and malicious files, and the check that loaders return a result or raise a UserError of one line.

All random cases have fixed seeds.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import random
import signal
import stat
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from surefoot.errors import UserError

SECONDS = 20
"""Time limit of a loader. Loaders take milliseconds."""
MIN_BYTES = 4 << 20
BYTES_PER_FILE_BYTE = 40
"""Bytes that a loader may allocate for each byte of its files, in addition to `MIN_BYTES`."""


class TimeLimitExceeded(BaseException):
    """A loader exceeded the time limit. A BaseException, which no loader catches by accident."""


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeLimitExceeded(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_rejected(load: Callable[[], Any], folder: Path) -> bool:
    """Call a loader of files under `folder`; return whether it raised a UserError, and fail on anything else.

    The message must be one printable line of limited length that contains the path of `folder`.
    """
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    message = rejection(load, MIN_BYTES + BYTES_PER_FILE_BYTE * size)
    assert message is None or str(folder) in message, f"no path in {message!r}"
    return message is not None


def rejection(
    load: Callable[[], Any], most_bytes: int, expected: tuple[type[Exception], ...] = (UserError,)
) -> str | None:
    """Call a loader; return the message of an expected exception, None without one, and fail on anything else.

    The message must be one printable line of limited length. The call must stay within `SECONDS` and `most_bytes`.
    """
    message = None
    tracemalloc.start()
    try:
        with time_limit():
            load()
    except expected as error:
        message = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < most_bytes, f"{peak:,} bytes, expected less than {most_bytes:,}"
    if message is not None:
        assert message.isprintable(), f"not one printable line: {message[:500]!r}"
        assert len(message) < 3000, f"{len(message)} characters: {message[:500]!r}"
    return message


def damaged(content: bytes, seed: int, cases: int) -> Iterator[bytes]:
    """Yield versions of a file with flipped bits, and with replaced, removed, repeated or truncated bytes."""
    generator = random.Random(seed)
    for _ in range(cases):
        changed = bytearray(content)
        for _ in range(generator.choice((1, 1, 2, 5))):
            at = generator.randrange(len(changed) + 1)
            length = generator.choice((1, 2, 4, 8, 64))
            match generator.randrange(7):
                case 0 if at < len(changed):
                    changed[at] ^= 1 << generator.randrange(8)
                case 1:
                    changed[at : at + 1] = generator.choice(b'0123456789eE-+.,:[]{}"\\untx\x00\xff\x80').to_bytes()
                case 2:
                    del changed[at : at + length]
                case 3:
                    changed[at:at] = changed[at : at + length] * generator.choice((1, 3))
                case 4:
                    changed[at : at + length] = generator.randbytes(length)
                case 5:
                    changed[at : at + length] = generator.choice((b"\x00", b"\xff", b"\x7f")) * length
                case 6:
                    del changed[at:]
        yield bytes(changed)


INVALID_VALUES = [
    None,
    True,
    -1,
    0,
    3,
    2**31,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "dense",
    "../../../etc/passwd",
    "\x1b]0;title\x07\n",
    "\ud800",
    "x" * 10_000,
    [],
    [[]],
    [None],
    {},
    {"op": "relu"},
]
"""Values that are invalid for most entries."""


def other_values(original: Any) -> Iterator[Any]:
    """Yield the JSON data with each entry, at any depth, set to each invalid value, and removed."""
    for place in range(len(list(_places(original)))):
        for value in INVALID_VALUES:
            changed = copy.deepcopy(original)
            node, key = list(_places(changed))[place]
            node[key] = value
            yield changed
        changed = copy.deepcopy(original)
        node, key = list(_places(changed))[place]
        del node[key]
        yield changed


def with_other_value(original: Any, generator: random.Random) -> Any:
    """Return the JSON data with one random entry set to an invalid value, exchanged with another one, or removed."""
    changed = copy.deepcopy(original)
    places = list(_places(changed))
    node, key = generator.choice(places)
    match generator.randrange(6):
        case 0:
            del node[key]
        case 1:
            other, other_key = generator.choice(places)
            node[key] = copy.deepcopy(other[other_key])
        case _:
            node[key] = copy.deepcopy(generator.choice(INVALID_VALUES))
    return changed


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def sample(cases: Iterator[Any], seed: int, most: int) -> list[Any]:
    """Return a random sample of at most ``most`` cases."""
    everything = list(cases)
    return random.Random(seed).sample(everything, min(most, len(everything)))


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


MALFORMED_JSON: dict[str, bytes] = {
    "empty": b"",
    "not UTF-8": b'{"format": 1, "x": "\xff\xfe"}',
    "UTF-16": '{"format": 1}'.encode("utf-16"),
    "null bytes": b"\x00" * 100,
    "deep lists": b"[" * 200_000,
    "deep lists that end": b"[" * 900 + b"]" * 900,
    "deep in an entry": b'{"format": 1, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deep objects": b'{"x":' * 5000 + b"1" + b"}" * 5000,
    "a very long integer": b'{"format": ' + b"9" * 100_000 + b"}",
    "a wide integer": b'{"format": 1, "env_steps": ' + b"9" * 4000 + b"}",
    "infinite": b'{"format": 1, "x": 1e999}',
    "NaN": b'{"format": NaN}',
    "half a surrogate pair": b'{"format": 1, "x": "\\ud800"}',
    "a long name": b'{"format": 1, "sha256": "", "' + b"x" * 1_000_000 + b'": 1}',
    "a list": b"[1, 2]",
    "a number": b"1",
}


def irregular_files(path: Path, outside: Path) -> Iterator[str]:
    """Replace a file by each kind of irregular file; yield its description.

    `outside` is the target of a link, a file outside the folder.
    """
    for name, make in irregular_makers(path, outside).items():
        remove(path)
        make()
        yield name
    remove(path)


def irregular_makers(path: Path, outside: Path) -> dict[str, Callable[[], None]]:
    """Return functions that make each kind of irregular file, by its description."""
    return {
        "a folder": path.mkdir,
        "a named pipe": lambda: os.mkfifo(path),
        "a link to an endless device": lambda: path.symlink_to("/dev/zero"),
        "a link to nothing": lambda: path.symlink_to("missing"),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to a file outside": lambda: path.symlink_to(outside),
        "a huge sparse file": lambda: _sparse(path, 1 << 43),
    }


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(size)


def remove(path: Path) -> None:
    """Remove a file, an empty folder, or a link."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            path.rmdir()
        else:
            path.unlink()


def npy(descr: str = "'<f4'", shape: str = "(2,)", order: str = "False", data: bytes = b"\x00" * 8) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def archive(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as made:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            made.writestr(info, content)
    return target.getvalue()


def _doubled() -> bytes:
    """Return an archive of two members with the same name, for which `zipfile` would warn."""
    return archive(("one.npy", npy()), ("two.npy", npy())).replace(b"two.npy", b"one.npy")


def _overlapping() -> bytes:
    """Return an archive whose directory lists the same data many times, like a decompression bomb."""
    content = archive(("x.npy", npy("'<f8'", "(1000,)", data=b"\x00" * 8000)))
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry, tail, times = content[start:end], bytearray(content[end:]), 5000
    tail[8:12] = times.to_bytes(2, "little") * 2
    tail[12:16] = (len(entry) * times).to_bytes(4, "little")
    return content[:start] + entry * times + bytes(tail)


MALFORMED_NPZ: dict[str, bytes] = {
    "empty": b"",
    "a bare pickle": b"\x80\x04\x95\x05\x00\x00\x00",
    "an .npy alone": npy(),
    "a declared size of 10 TB": archive(("x.npy", npy(shape="(2500000000000,)"))),
    "a declared size beyond int64": archive(("x.npy", npy(shape=f"({'9' * 17}, {'9' * 17})"))),
    "a hundred axes": archive(("x.npy", npy(shape=f"({'1, ' * 100})", data=b"\x00" * 4))),
    "no entries on a huge axis": archive(("x.npy", npy(shape="(0, 999999999999999999)", data=b""))),
    "a negative axis": archive(("x.npy", npy(shape="(-2,)"))),
    "pickled objects": archive(("x.npy", npy("'|O'", "(1,)", data=b"cos\nsystem\n(S'id'\ntR."))),
    "records": archive(("x.npy", npy("[('a', '<f4')]"))),
    "texts": archive(("x.npy", npy("'<U2'", "(1,)"))),
    "an expression": archive(("x.npy", npy(shape="(1+1,)"))),
    "code": archive(("x.npy", npy("__import__('os').abort()"))),
    "invalid booleans": archive(("x.npy", npy("'|b1'", "(8,)", data=b"\x02" * 8))),
    "a deflated bomb": archive(("x.npy", b"\x00" * 30_000_000), compression=zipfile.ZIP_DEFLATED),
    "an LZMA bomb": archive(("x.npy", b"\x00" * 3_000_000), compression=zipfile.ZIP_LZMA),
    "two members of one name": _doubled(),
    "one member listed 5000 times": _overlapping(),
    "a name with parent folders": archive(("../../../tmp/x.npy", npy())),
    "an absolute name": archive(("/etc/x.npy", npy())),
    "a name with a line break": archive(("a\nb.npy", npy())),
    "a name of 60,000 characters": archive(("x" * 60_000 + ".npy", npy())),
    "no arrays": archive(("x.txt", b"hello")),
    "many members": archive(*((f"{index}.npy", npy()) for index in range(2000))),
}
