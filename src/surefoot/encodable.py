"""Text for streams that cannot encode every character."""

from __future__ import annotations

import codecs
from typing import TextIO

READABLE = "surefoot-readable"
"""Error handler of encoders: an ASCII look-alike, or else the character's number, such as ``\\xfc``."""

_LOOK_ALIKES = dict(zip("·…–—−×“”‘’─│╭╮╰╯━╸╺█", "-~---x\"\"''-|++++---#", strict=True))
"""Characters of equal width for those that displays use."""


def encodable(text: str, stream: TextIO | None) -> str:
    """Return a text with the characters escaped that a stream cannot encode."""
    try:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        return text.encode(encoding, READABLE).decode(encoding)
    except (LookupError, TypeError):  # a stream of some other program
        return text


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    escaped = (_LOOK_ALIKES.get(c) or c.encode("ascii", "backslashreplace").decode() for c in characters)
    return "".join(escaped), error.end


codecs.register_error(READABLE, _escape)
