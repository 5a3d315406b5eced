"""A part as a person types it on a command line: ``none``, ``unit-norm``, ``L2Penalty(1e-4)``.

The text is read as Python would read the same expression, but only names of parts and plain values have a meaning, so
that nothing can be run by it.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from types import NoneType, UnionType
from typing import Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

from surefoot.algorithms.config import Algorithm
from surefoot.algorithms.serialization import PARTS
from surefoot.errors import UserError, suggest


def part_from_text(field: str, text: str) -> Any:
    """Return the value of an algorithm's field.

    Args:
        field: a field of ``Algorithm``, such as "weight_constraint".
        text: a part's name in any spelling ("unit-norm", "UnitNorm"), with its values in brackets where they are not
            the part's own defaults ("ResetEvery(env_steps=80_000)"), "none", or one of the field's words ("joint").

    Raises:
        UserError: the text is none of these, or the part refuses its values.
    """
    choices = list(_choices(get_type_hints(Algorithm)[field]))
    words = [choice for choice in choices if isinstance(choice, str)]
    if text in words:
        return text
    if text.lower() == "none" and NoneType in choices:
        return None
    parts = {
        _spelling(kind.__name__): kind for kind in choices if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }
    valid = [*(["none"] if NoneType in choices else []), *words, *(kind.__name__ for kind in parts.values())]
    if not {int, float}.isdisjoint(choices):
        valid.append("a number")
    expected = valid[0] if len(valid) == 1 else f"one of {', '.join(valid)}"
    # A dash between letters belongs to a name; Python would subtract.
    try:
        tree = ast.parse(re.sub(r"(?<=[a-zA-Z])-(?=[a-zA-Z])", "", text), mode="eval").body
    except SyntaxError:
        raise UserError(f"{field} cannot be read: got {text!r}, expected {expected}") from None
    name = tree.func if isinstance(tree, ast.Call) else tree
    if not isinstance(name, ast.Name) or _spelling(name.id) not in parts:
        raise UserError(f"{field} must be {expected}, got {text!r}{suggest(text, valid)}")
    return _build(tree, field, text)


def _build(node: ast.expr, field: str, text: str) -> Any:
    """Return the value of an expression made of parts, tuples and plain values."""
    parts = {_spelling(name): part for name, part in PARTS.items() if part is not Algorithm}
    match node:
        case ast.Name(id=name) if _spelling(name) in parts:
            return _call(parts[_spelling(name)], [], {}, field)
        case ast.Call(func=ast.Name(id=name)) if _spelling(name) in parts:
            if any(isinstance(argument, ast.Starred) for argument in node.args) or any(
                keyword.arg is None for keyword in node.keywords
            ):
                raise UserError(f"{field}: * has no meaning here, got {text!r}")
            arguments = [_build(argument, field, text) for argument in node.args]
            named = {str(keyword.arg): _build(keyword.value, field, text) for keyword in node.keywords}
            return _call(parts[_spelling(name)], arguments, named, field)
        case ast.Tuple() | ast.List():
            return tuple(_build(entry, field, text) for entry in node.elts)
        case _:
            try:
                return ast.literal_eval(node)
            except ValueError:
                raise UserError(f"{field}: {ast.unparse(node)} is no part and no plain value") from None


def _call(part: type, arguments: list[Any], named: dict[str, Any], field: str) -> Any:
    try:
        return part(*arguments, **named)
    except TypeError as error:  # an argument that is unknown, missing or given twice
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
