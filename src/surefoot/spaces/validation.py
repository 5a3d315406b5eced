"""Validation of spaces given by files and users."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from surefoot.errors import UserError

MAX_SIZE = 2**31 - 1
"""Largest number of entries of an observation or an action."""

_MAX_AXES = 32
_DTYPE = re.compile(r"[a-z]{3,12}\d{0,3}")


class UnsupportedSpace(UserError):
    """A space that nothing here can learn from or act in.

    Args:
        code: "observation-space", "action-space" or "action-bounds", as in `surefoot check-env`.
        reason: What is not supported, and what was expected.
        space: Start of the message: the space and where it was found.

    Attributes:
        code: The argument.
        reason: The argument.
    """

    def __init__(
        self, code: Literal["observation-space", "action-space", "action-bounds"], reason: str, space: str = ""
    ) -> None:
        super().__init__(f"{space}{reason}")
        self.code, self.reason = code, reason


def as_numbers(value: ArrayLike, name: str) -> np.ndarray:
    """Return an array of real numbers.

    Args:
        value: Array or nested sequence.
        name: Name of the argument in error messages.

    Raises:
        UserError: It holds something else, or its rows differ in length.
    """
    try:
        array = np.asarray(value)
        array = array.astype(np.float64) if array.dtype.kind == "O" else array
        if array.dtype.kind not in "fiub":
            raise TypeError(f"its dtype is {array.dtype}")
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} is not an array of numbers: {' '.join(str(error).split())}") from error
    return array


def require_fields(data: Any, names: set[str], where: str) -> None:
    """Validate that `data` is a JSON object with exactly these fields."""
    if not isinstance(data, Mapping) or data.keys() != names:
        raise invalid(where, data, f"an object with {', '.join(sorted(names))}")


def read_shape(value: Any) -> tuple[int, ...]:
    """Return a shape from JSON."""
    valid = isinstance(value, list | tuple) and len(value) <= _MAX_AXES
    if not valid or not all(type(side) is int and 0 <= side <= MAX_SIZE for side in value):
        raise invalid("shape", value, f"at most {_MAX_AXES} whole numbers from 0 to {MAX_SIZE:,}")
    return tuple(value)


def read_dtype(value: Any) -> str:
    """Return the name of a dtype from JSON."""
    if not isinstance(value, str) or not _DTYPE.fullmatch(value):
        raise invalid("dtype", value, "the name of a NumPy dtype")
    return value


def invalid(where: str, value: Any, expected: str) -> UserError:
    """Return the error about an invalid value."""
    return UserError(f"{where} is {' '.join(repr(value)[:80].split())}, expected {expected}")
