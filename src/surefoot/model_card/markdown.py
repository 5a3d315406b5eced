"""Values as Markdown: in a table cell a stranger's text stays a text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any


def value(entry: Any) -> str:
    """Return a JSON value of a configuration as a person reads it."""
    if isinstance(entry, list):
        return ", ".join(map(value, entry))
    if isinstance(entry, int) and not isinstance(entry, bool):
        return f"{entry:,}"
    return "none" if entry is None else text(entry)


def figure(measured: float) -> str:
    """Return a measured number to four digits."""
    return f"{measured:.4g}"


def duration(seconds: float) -> str:
    """Return a duration in minutes, or hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{seconds / 60:.1f} min"


def text(entry: Any) -> str:
    """Return a text that stays one table cell and a text, whoever wrote it: no HTML, link, picture or code."""
    plain = " ".join(str(entry).split())
    return re.sub(r"([\\|\[`])", r"\\\1", plain).replace("<", "&lt;")


def commands(*given: Sequence[Any]) -> str:
    """Return a block of code with commands, each of which a shell reads as these arguments."""
    # Each on one line, so that no argument can end the block.
    lines = [" ".join(shlex.join(map(str, arguments)).split()) for arguments in given]
    return "\n".join(("```sh", *lines, "```"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
