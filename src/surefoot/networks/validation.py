"""Validation of a part's fields against their annotations."""

from __future__ import annotations

import contextlib
import dataclasses
from fractions import Fraction
from numbers import Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

from surefoot.errors import UserError
from surefoot.whole_numbers import as_ratio, as_whole

_NAMES = {
    bool: "True or False",
    int: "an integer",
    Fraction: "a fraction such as 1/512",
    float: "a number",
    str: "a string",
    NoneType: "None",
}


def check_types(part: Any) -> None:
    """Validate every field of a frozen dataclass against its annotation, and convert it to exactly that type.

    Whole numbers of any kind, also 1e6, become ``int``; real numbers ``float``; lists ``tuple``. Annotations may be
    int, Fraction, float, str, None, classes, Literal strings, ``tuple[X, ...]`` and unions of these.

    Raises:
        UserError: A field has another type.
    """
    hints = get_type_hints(type(part))
    for name in (field.name for field in dataclasses.fields(part)):
        value, hint = getattr(part, name), hints[name]
        try:
            object.__setattr__(part, name, _convert(value, hint))
        except (TypeError, OverflowError):
            raise UserError(f"{type(part).__name__} {name} must be {_expected(hint)}, got {one_line(value)}") from None


def check_epsilon(part: Any) -> None:
    """Validate the epsilon of a normalisation; the bounds are those of policy files.

    Raises:
        UserError: ``part.epsilon`` is out of bounds.
    """
    if not 1e-30 <= part.epsilon <= 1e30:
        raise UserError(f"{type(part).__name__} epsilon must be between 1e-30 and 1e30, got {part.epsilon}")


def one_line(value: Any) -> str:
    """Return ``repr(value)`` on one line of at most 200 characters."""
    return " ".join(repr(value).split())[:200]


def _convert(value: Any, hint: Any) -> Any:
    if isinstance(hint, TypeAliasType):
        hint = hint.__value__
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for argument in arguments:
            with contextlib.suppress(TypeError):
                return _convert(value, argument)
    elif origin is Literal:
        if isinstance(value, str) and value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(_convert(entry, arguments[0]) for entry in value)
    elif isinstance(value, bool) or hint is bool:
        if isinstance(value, bool) and hint is bool:  # a bool is an int in Python, but not for these fields
            return value
    elif hint is int:
        return as_whole(value)
    elif hint is Fraction:
        return as_ratio(value)
    elif hint is float and isinstance(value, Real):
        return float(value)
    elif isinstance(value, hint):
        return value
    raise TypeError


def _expected(hint: Any) -> str:
    if isinstance(hint, TypeAliasType):
        hint = hint.__value__
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return f"a list or tuple whose every entry is {_expected(arguments[0])}"
    if arguments:
        return " or ".join(map(_expected, arguments))
    return _NAMES.get(hint) or f"of type {hint.__name__}"
