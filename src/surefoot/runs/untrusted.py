"""Reading files that may come from a stranger: regular files of a bounded size, and JSON without traps."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from surefoot.errors import UserError

_MOST_BYTES = 64 << 20
"""Of a JSON file, far above any of ours: the manifest of a run with 100,000 replay segments has 15 MB."""

_DEEPEST = 64
"""Levels of nesting, ours have ten. Python's own limit differs between reading, copying and printing."""


def require_regular(path: Path) -> int:
    """Return the size in bytes of a regular file, symbolic links followed.

    A device or a named pipe would give bytes without end, or none for ever.

    Raises:
        UserError: it is missing, cannot be looked at, or is anything else.
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
    """Read a regular file that is read whole because files of its kind are small.

    Raises:
        UserError: it cannot be read or is not small.
    """
    if (size := require_regular(path)) > _MOST_BYTES:
        raise UserError(f"{path} is damaged: it has {size:,} bytes, expected at most {_MOST_BYTES:,}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: `read_small` or `parse_json` refuses it.
    """
    content = read_small(path)
    try:
        return parse_json(content)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def parse_json(content: bytes) -> Any:
    """Parse JSON whose every value can be copied, compared, printed and written again.

    NaN and Infinity, which Python's own writer leaves behind, are read; whoever does not expect them refuses them.

    Raises:
        ValueError: it is not JSON in UTF-8, is nested too deeply, or holds half a character; in one line.
    """
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return value
        level = [child for node in level for child in _children(node)]
    raise ValueError(f"it is nested more than {_DEEPEST} levels deep")


def quoted(text: str, most: int = 250) -> str:
    """Return a text from a file as a message may repeat it: printable, on one line, of at most so many characters."""
    safe = text if text.isprintable() else repr(text)[1:-1]
    return safe if len(safe) <= most else safe[:most] + "..."


def _children(node: Any) -> list[Any]:
    if isinstance(node, str):
        try:
            node.encode()
        except UnicodeEncodeError as error:
            raise ValueError("it holds half of a surrogate pair, which is no character") from error
    if isinstance(node, dict):
        return [*node, *node.values()]
    return node if isinstance(node, list) else []
