"""Whole numbers as users give them: integers of any kind, and floats such as 1e6."""

from __future__ import annotations

import operator
from numbers import Real
from typing import SupportsIndex

from surefoot.errors import UserError


def as_whole(value: object) -> int:
    """Return an integer of any kind, NumPy's too, or a float without a fraction as int.

    Raises:
        TypeError: It is neither; a bool is none.
    """
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, Real) and not isinstance(value, SupportsIndex) and float(value).is_integer():
        return int(float(value))
    return operator.index(value)  # type: ignore[arg-type]


def whole_number(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """Return an argument as int.

    Args:
        name: Name of the argument, for the message.
        value: Value of the argument.
        low: Smallest value allowed; None for no bound.
        high: Largest value allowed; None for no bound.

    Raises:
        UserError: It is not a whole number, or out of range.
    """
    try:
        number = as_whole(value)
    except (TypeError, OverflowError):
        raise UserError(f"{name} must be a whole number, got {value!r:.200}") from None
    if low is not None and high is not None and not low <= number <= high:
        raise UserError(f"{name} must be between {low:,} and {high:,}, got {number:,}")
    if low is not None and number < low:
        raise UserError(f"{name} must be at least {low}, got {number}")
    return number


def whole_from_text(text: str) -> int:
    """Return the number of a text such as ``"1_000_000"`` or ``"1e6"``.

    Raises:
        ValueError: It is not a whole number.
    """
    try:
        return int(text)
    except ValueError:
        value = float(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)
