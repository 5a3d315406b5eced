"""Whole numbers and ratios as users give them: integers of any kind, floats such as 1e6, and texts such as 2/1024."""

from __future__ import annotations

import math
import operator
import re
from fractions import Fraction
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
    if high is not None and number > high:
        raise UserError(f"{name} must be at most {high:,}, got {number:,}")
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


_LARGEST_DENOMINATOR = 10**6
"""Limit of denominators; the nearest such fraction to a float such as 1 / 3 is the one that was meant."""

_RATIO = re.compile(r"[0-9]{1,12}(\.[0-9]{0,12})?(e[+-]?[0-9]{1,2})?(/[0-9]{1,12})?", re.ASCII | re.IGNORECASE)
"""Texts of ratios: short ones, since a long exponent takes all memory."""


def as_ratio(value: object) -> int | Fraction:
    """Return a number, or a text such as "0.5" or "2/1024", as int or as a fraction of denominator at most 10**6.

    Raises:
        TypeError: It is something else, a bool or not finite, or the denominator is larger.
    """
    if isinstance(value, bool) or not isinstance(value, Real | str | SupportsIndex):
        raise TypeError
    try:
        if isinstance(value, str):
            if not _RATIO.fullmatch(value):
                raise TypeError
            ratio = Fraction(value)
        elif isinstance(value, Fraction | SupportsIndex):
            ratio = Fraction(value if isinstance(value, Fraction) else operator.index(value))
        elif math.isfinite(value):
            ratio = Fraction(float(value)).limit_denominator(_LARGEST_DENOMINATOR)
        else:
            raise TypeError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise TypeError from None
    if ratio.denominator > _LARGEST_DENOMINATOR:
        raise TypeError
    return ratio.numerator if ratio.denominator == 1 else ratio


type Ratio = float | Fraction | str
"""A number, or a text such as "2/1024"."""


def ratio(name: str, value: Ratio) -> int | Fraction:
    """Return an argument as int, or as a fraction of small denominator.

    Args:
        name: Name of the argument, for the message.
        value: Value of the argument.

    Raises:
        UserError: It is not a number.
    """
    try:
        return as_ratio(value)
    except TypeError:
        raise UserError(f"{name} must be a number such as 2, 0.5 or '2/1024', got {value!r:.200}") from None


def ratio_from_text(text: str) -> int | Fraction:
    """Return the number of a text such as ``"2"``, ``"0.5"``, ``"1e-3"`` or ``"2/1024"``.

    Raises:
        ValueError: It is something else.
    """
    try:
        return as_ratio(text.strip())
    except TypeError:
        raise ValueError(text) from None
