"""Values, commands and tables in Markdown; untrusted text is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from surefoot.text import shell_command


def value(entry: Any) -> str:
    """Return a JSON value of a configuration as readable text."""
    if isinstance(entry, list):
        return ", ".join(map(value, entry))
    if isinstance(entry, int) and not isinstance(entry, bool):
        return f"{entry:,}"
    return "none" if entry is None else text(entry)


def number(measured: float) -> str:
    """Return a number with four significant digits."""
    return f"{measured:.4g}"


def duration(seconds: float) -> str:
    """Return a duration in minutes, or in hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{seconds / 60:.1f} min"


def text(entry: Any) -> str:
    """Return a text as one table cell, without HTML, links, images or code."""
    plain = " ".join(str(entry).split())
    return re.sub(r"([\\|\[`])", r"\\\1", plain).replace("<", "&lt;")


def commands(*given: Sequence[Any]) -> str:
    """Return a code block with shell commands of these arguments."""
    # On one line each, so that no argument can end the block.
    lines = [shell_command(*map(str, arguments)) for arguments in given]
    return "\n".join(("```sh", *lines, "```"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
