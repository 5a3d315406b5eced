"""Reading of untrusted files: regular files of bounded size, and JSON, which is written such that it can be read."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from surefoot.errors import UserError
from surefoot.text import printable, readable

_MAX_BYTES = 64 << 20
"""Size limit of a JSON file; the manifest of a run with 100,000 replay segments has 15 MB."""

_MAX_DEPTH = 64
"""Limit of nesting; ours is ten. Python's own limits of parsing, copying and printing differ."""


def why_missing(path: Path) -> str:
    """Return why there is nothing to use at a path, as the end of a sentence: "is missing", "cannot be read: ..."."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except (OSError, ValueError) as error:
        return f"cannot be read: {_reason(error)}"
    return "is a folder" if stat.S_ISDIR(status.st_mode) else "is a file"


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, links followed. Opening a device or a named pipe could block, or never end.

    Raises:
        UserError: It is missing, inaccessible, or not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) != errno.ENXIO:  # of a socket
            raise UserError(f"cannot read {path}: {_reason(error)}") from error
    raise UserError(f"cannot read {path}: it is not a regular file")


def require_regular(path: Path) -> None:
    """Validate that a path is a regular file that can be opened.

    Raises:
        UserError: It is missing, inaccessible, or not a regular file.
    """
    open_regular(path).close()


@contextlib.contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Raise an OSError, such as that of a stale file handle, as a UserError of one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read {path}: {_reason(error)}") from error


def read_small(path: Path, most: int = _MAX_BYTES) -> bytes:
    """Read a regular file of bounded size.

    Args:
        path: File to read.
        most: Largest size in bytes.

    Raises:
        UserError: It cannot be read or is too large.
    """
    with read_errors(path), open_regular(path) as stream:
        if (size := os.fstat(stream.fileno()).st_size) > most:
            raise UserError(f"{path} is damaged: it has {size:,} bytes, expected at most {most:,}")
        return stream.read(size)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: It cannot be read, is too large, or is not strict JSON.
    """
    content = read_small(path)
    try:
        return parse_json(content)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def parse_json(content: bytes) -> Any:
    """Parse JSON whose values can all be copied, compared, printed and written again.

    NaN and Infinity, which Python's own writer produces, are accepted; callers validate numbers. Texts are valid
    Unicode, as ``encode_json`` writes them.

    Raises:
        ValueError: It is not JSON in UTF-8, or is nested too deeply.
    """
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    level = [value]
    for _ in range(_MAX_DEPTH):
        if not level:
            return _with_valid_texts(value) if b"\\ud" in content.lower() else value
        level = [child for node in level for child in _children(node)]
    raise ValueError(f"it is nested more than {_MAX_DEPTH} levels deep")


def encode_json(value: Any, *, indent: int | None = None, allow_nan: bool = True) -> bytes:
    """Return JSON in ASCII that ``parse_json`` accepts, whatever bytes the paths and arguments in it have.

    Args:
        value: JSON values. Its texts are written as valid Unicode; see ``text.readable``.
        indent: Number of blanks per level; None writes one line.
        allow_nan: Whether numbers may be infinite or NaN.

    Raises:
        TypeError, ValueError: The value is not JSON.
    """
    text = json.dumps(value, indent=indent, allow_nan=allow_nan)
    # Half a surrogate pair looks like a whole one here.
    return (json.dumps(_with_valid_texts(value), indent=indent) if "\\ud" in text else text).encode()


def quoted(text: str, most: int = 250) -> str:
    """Return a text for an error message: printable, on one line, at most ``most`` characters long."""
    safe = printable(text)
    return safe if len(safe) <= most else safe[:most] + "..."


def _with_valid_texts(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {_with_valid_texts(key): _with_valid_texts(entry) for key, entry in value.items()}
    return [_with_valid_texts(entry) for entry in value] if isinstance(value, list | tuple) else value


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [*node.values()]
    return node if isinstance(node, list) else []


def _reason(error: OSError | ValueError) -> str:
    """Return the reason of a failed access; ValueError is that of a name with a null byte."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
