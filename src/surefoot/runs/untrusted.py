"""Reading of untrusted files: regular files of bounded size, and strict JSON."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from surefoot.errors import UserError

_MAX_BYTES = 64 << 20
"""Size limit of a JSON file; the manifest of a run with 100,000 replay segments has 15 MB."""

_MAX_DEPTH = 64
"""Limit of nesting; ours is ten. Python's own limits of parsing, copying and printing differ."""


def require_regular(path: Path) -> int:
    """Validate that a path is a regular file, links followed; return its size in bytes.

    Reading a device or a named pipe might never end.

    Raises:
        UserError: It is missing, inaccessible, or not a regular file.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read {path}: {reason}") from error
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"cannot read {path}: it is not a regular file")
    return status.st_size


def read_small(path: Path) -> bytes:
    """Read a small regular file.

    Raises:
        UserError: It cannot be read or is too large.
    """
    if (size := require_regular(path)) > _MAX_BYTES:
        raise UserError(f"{path} is damaged: it has {size:,} bytes, expected at most {_MAX_BYTES:,}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


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

    NaN and Infinity, which Python's own writer produces, are accepted; callers validate numbers.

    Raises:
        ValueError: It is not JSON in UTF-8, is nested too deeply, or contains half of a surrogate pair.
    """
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    level = [value]
    for _ in range(_MAX_DEPTH):
        if not level:
            return value
        level = [child for node in level for child in _children(node)]
    raise ValueError(f"it is nested more than {_MAX_DEPTH} levels deep")


def quoted(text: str, most: int = 250) -> str:
    """Return a text for an error message: printable, on one line, at most ``most`` characters long."""
    safe = text if text.isprintable() else repr(text)[1:-1]
    return safe if len(safe) <= most else safe[:most] + "..."


def _children(node: Any) -> list[Any]:
    if isinstance(node, str):
        try:
            node.encode()
        except UnicodeEncodeError as error:
            raise ValueError("it contains half of a surrogate pair") from error
    if isinstance(node, dict):
        return [*node, *node.values()]
    return node if isinstance(node, list) else []
