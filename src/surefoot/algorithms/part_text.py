"""Algorithm settings as text: ``none``, ``unit-norm``, ``L2Penalty(1e-4)``, ``critic.norm=none``.

Text is parsed as a Python expression in which only part names and literals are allowed, so nothing can be executed.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import re
from collections.abc import Iterable
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.serialization import PARTS
from surefoot.errors import UserError, suggest
from surefoot.misplaced import SETTINGS
from surefoot.whole_numbers import ratio_from_text

_DASH = re.compile(r"""('[^']*'|"[^"]*")|(?<=[a-zA-Z])-(?=[a-zA-Z])""")
"""A quoted word, or a dash between letters: outside of quotes it belongs to a name, where Python would subtract."""

_CONSTANTS = {"none": None, "true": True, "false": False}


def with_settings(algorithm: Algorithm, settings: Iterable[tuple[str, str]]) -> Algorithm:
    """Return a copy with settings replaced, validated when all of them are in place.

    Args:
        algorithm: Composition to copy.
        settings: Dotted field paths, such as "utd", "critic.norm" or "temperature.optimizer.learning_rate", each with
            its new value, as for ``part_from_text``. A later entry replaces an earlier one.

    Raises:
        UserError: A path names no setting, a text is no valid value, or the resulting composition is invalid.
    """
    changes: dict[str, Any] = {}
    for path, text in settings:
        path = path.replace("-", "_")
        name, value = _changed_field(algorithm, vars(algorithm) | changes, path, path, text)
        changes[name] = value
    return algorithm.replace(**changes)


def part_from_text(field: str, text: str) -> Any:
    """Return the value of an algorithm's field.

    Args:
        field: Field of ``Algorithm``, such as "weight_constraint".
        text: Part name in any spelling ("unit-norm", "UnitNorm"), with arguments where they differ from the part's
            defaults ("ResetEvery(env_steps=80_000)"), "none", an allowed word ("joint"), or a number or tuple.

    Raises:
        UserError: The text is none of these, or the part rejects its arguments.
    """
    return _parse(field, get_type_hints(Algorithm)[field], text)


def _changed_field(part: Any, values: dict[str, Any], rest: str, path: str, text: str) -> tuple[str, Any]:
    """Return the field of ``part`` that the dotted path ``rest`` starts with, and its new value."""
    name, dot, rest = rest.partition(".")
    fields = [field.name for field in dataclasses.fields(part)]
    owner = "an algorithm" if isinstance(part, Algorithm) else type(part).__name__
    if name not in fields:
        valid = suggest(name, fields) or f", expected one of {', '.join(fields)}"
        if name in SETTINGS and isinstance(part, Algorithm):
            valid = f", which is a setting of the run (--{name.replace('_', '-')})"
        raise UserError(f"setting {path!r}: {owner} has no field {name!r}{valid}")
    if not dot:
        return name, _parse(path, get_type_hints(type(part))[name], text)
    current = values[name]
    if not dataclasses.is_dataclass(current) or isinstance(current, type) or not dataclasses.fields(current):
        shown = type(current).__name__ if dataclasses.is_dataclass(current) else current
        raise UserError(f"setting {path!r}: {name} is {shown}, which has no field {rest!r}")
    inner, value = _changed_field(current, vars(current), rest, path, text)
    return name, dataclasses.replace(current, **{inner: value})


def _parse(field: str, hint: Any, text: str) -> Any:
    """Return the value of a field with this annotation; its owner validates numbers and tuples further."""
    choices = list(_choices(hint))
    words = [choice for choice in choices if isinstance(choice, str)]
    if text in words or str in choices:
        return text
    if text.lower() == "none" and NoneType in choices:
        return None
    if Fraction in choices:
        with contextlib.suppress(ValueError):
            return ratio_from_text(text)
        raise UserError(f"{field} must be a number such as 2, 0.5 or 2/1024, got {text!r}")
    parts = {
        _spelling(kind.__name__): kind for kind in choices if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }
    numbers, is_bool, is_tuple = (int in choices or float in choices), bool in choices, any(map(get_origin, choices))
    valid = [*(["none"] if NoneType in choices else []), *words, *(kind.__name__ for kind in parts.values())]
    valid += [*(["a number"] if numbers else []), *(["a tuple"] if is_tuple else []), *(["true or false"] * is_bool)]
    expected = valid[0] if len(valid) == 1 else f"one of {', '.join(valid)}"
    try:
        tree = ast.parse(_DASH.sub(lambda match: match[1] or "", text.strip()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(f"{field} cannot be parsed: got {text!r}, expected {expected}") from None
    name = tree.func if isinstance(tree, ast.Call) else tree
    if isinstance(name, ast.Name) and _spelling(name.id) in parts:
        return _build(tree, field, text)
    if numbers or is_bool or is_tuple:
        value = _build(tree, field, text)
        kinds = (*([int, float] if numbers else []), *([bool] if is_bool else []), *([tuple] if is_tuple else []))
        if isinstance(value, kinds) and (is_bool or not isinstance(value, bool)):
            return value
    raise UserError(f"{field} must be {expected}, got {text!r}{suggest(text, valid)}")


def _build(node: ast.expr, field: str, text: str) -> Any:
    """Return the value of an expression of parts, tuples, words and literals."""
    parts = {_spelling(name): part for name, part in PARTS.items() if part is not Algorithm}
    match node:
        case ast.Name(id=name) if _spelling(name) in parts:
            return _call(parts[_spelling(name)], [], {}, field)
        case ast.Name(id=name):
            return _CONSTANTS.get(name.lower(), name)
        case ast.Call(func=ast.Name(id=name)) if _spelling(name) in parts:
            if any(isinstance(argument, ast.Starred) for argument in node.args) or any(
                keyword.arg is None for keyword in node.keywords
            ):
                raise UserError(f"{field}: * is not supported, got {text!r}")
            arguments = [_build(argument, field, text) for argument in node.args]
            named = {str(keyword.arg): _build(keyword.value, field, text) for keyword in node.keywords}
            return _call(parts[_spelling(name)], arguments, named, field)
        case ast.Tuple() | ast.List():
            return tuple(_build(entry, field, text) for entry in node.elts)
        case _:
            try:
                return ast.literal_eval(node)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                raise UserError(f"{field}: {ast.unparse(node)} is neither a part nor a literal") from None


def _call(part: type, arguments: list[Any], named: dict[str, Any], field: str) -> Any:
    try:
        return part(*arguments, **named)
    except TypeError as error:  # an unknown, missing or repeated argument
        reason = str(error).removeprefix(f"{part.__name__}.__init__() ").replace("__init__() ", "")
        raise UserError(f"{field}: {part.__name__} {reason}") from None


def _choices(hint: Any) -> list[Any]:
    """Return the types and words that an annotation allows."""
    if isinstance(hint, TypeAliasType):
        return _choices(hint.__value__)
    if get_origin(hint) in (Union, UnionType):
        return [choice for argument in get_args(hint) for choice in _choices(argument)]
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [hint]


def _spelling(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
