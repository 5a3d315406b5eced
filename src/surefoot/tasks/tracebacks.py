"""What to say about an exception from code that is not ours: a user's module, a callable, an environment."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_NOT_THE_USERS = (
    *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]),
    "<",
)
"""How the names of files begin that a person who wrote an environment did not write."""


def describe_exception(error: BaseException) -> str:
    """Return the exception in one line, with the place in the user's own code it came through, where there is one.

    Args:
        error: what was raised, with its traceback.

    Returns:
        For example ``"ValueError: no such robot (envs.py, line 12)"``.
    """
    message = " ".join(str(error).split())
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_the_users(frame.filename)]
    # A SyntaxError says itself where it is; its traceback only says who imported the file.
    if not frames or isinstance(error, SyntaxError):
        return text
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


def _is_the_users(filename: str) -> bool:
    return not filename.startswith(_NOT_THE_USERS)
