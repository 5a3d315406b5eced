"""One-line descriptions of exceptions from user code."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_LIBRARY_PREFIXES = (
    *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]),
    "<",
)
"""Prefixes of file names that do not belong to the user."""


def describe_exception(error: BaseException) -> str:
    """Return the exception in one line, with the innermost place in the user's own code, if any.

    Args:
        error: Caught exception, with its traceback.

    Returns:
        For example ``"ValueError: no such robot (envs.py, line 12)"``.
    """
    message = " ".join(str(error).split())
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_LIBRARY_PREFIXES)]
    # A SyntaxError's message has its place; its traceback ends at the import statement.
    if not frames or isinstance(error, SyntaxError):
        return text
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
