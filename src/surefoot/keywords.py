"""Keywords of environments: validation, and parsing from the command line."""

from __future__ import annotations

import copy
import json
import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from surefoot.errors import UserError

_CONSTANTS = {"true": True, "false": False, "none": None}
_MAX_DEPTH = 20
_MAX_INTEGER = 2**63


def check_keywords(value: Any, name: str = "env_set") -> dict[str, Any]:
    """Validate the keywords with which an environment is made, and return a copy.

    Args:
        value: Mapping of keywords to values that JSON can hold, which may come from an untrusted file.
        name: Name of the mapping in error messages.

    Raises:
        UserError: It is something else.
    """
    if not isinstance(value, Mapping):
        raise UserError(f"{name} must be a dict of keywords of the environment, got {value!r:.200}")
    for key, entry in value.items():
        if not isinstance(key, str) or not key.isidentifier() or not key.isascii():
            raise UserError(f"{name} has the key {key!r:.80}, expected the name of a keyword such as continuous")
        if not is_plain(entry):
            raise UserError(
                f"{name} has {key}={entry!r:.200}, expected true or false, a finite number, a text, a list or a table: "
                "in Python, functools.partial passes other values"
            )
    return copy.deepcopy(dict(value))


def is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether JSON gives back exactly this value: None, bool, int, finite float, str, lists and dicts.

    Args:
        value: Any value.
        depth: Number of lists and dicts around it.
    """
    if depth > _MAX_DEPTH:
        return False
    if value is None or type(value) is bool:
        return True
    if type(value) is int:
        return -_MAX_INTEGER <= value < _MAX_INTEGER
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is str:
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if type(value) is list:
        return all(is_plain(entry, depth + 1) for entry in value)
    return type(value) is dict and all(
        type(key) is str and is_plain(key) and is_plain(entry, depth + 1) for key, entry in value.items()
    )


def may_name_code(value: Any) -> bool:
    """Return whether a text in keywords has a colon: some environments import "module:id", as tasks do."""
    if isinstance(value, Mapping):
        return any(map(may_name_code, (*value, *value.values())))
    return any(map(may_name_code, value)) if isinstance(value, list) else isinstance(value, str) and ":" in value


def command_argument(name: str, suite: str, env_set: Mapping[str, Any]) -> str | None:
    """Return the value of ``--task`` in commands about a run; None if they need none, empty if only Python can name it.

    Args:
        name: Name of the task, without the keywords of its environment.
        suite: Suite of the task.
        env_set: Keywords of its environment.
    """
    if ":" not in name and not may_name_code(env_set):
        return None
    is_path = all(part.isidentifier() for part in re.split("[.:]", name)) and not name.startswith("__main__:")
    return name if is_path or suite != "callable" else ""


def parse_keyword(text: str) -> tuple[str, Any]:
    """Return the name and value of ``KEY=VALUE``.

    Args:
        text: The value is one of TOML (true, 0.5, [1, 2], {a = 1}, "text"), true, false or none in any case, or a text
            without quotes that is not the start of another value.

    Raises:
        ValueError: The text has no = or no key, or its value is none of these.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip().replace("-", "_"), value.strip()
    if not equals or not key.isidentifier() or not key.isascii():
        raise ValueError(f"no KEY=VALUE: {text!r}")
    parsed = _CONSTANTS[value.lower()] if value.lower() in _CONSTANTS else _parse_value(value)
    if not is_plain(parsed):
        raise ValueError(f"not a JSON value: {value!r}")
    return key, parsed


def keyword_argument(key: str, value: Any) -> str:
    """Return ``KEY=VALUE`` that ``parse_keyword`` parses to this keyword; TOML has no None in lists and tables."""
    return f"{key}={_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml(key)} = {_toml(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return "none" if value is None else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _parse_value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        if not text or text[0] in "[{\"'" or _is_number(text):  # a mistake, such as .5, which TOML writes as 0.5
            raise ValueError(f"not a TOML value: {text!r}") from None
        return text
    if document.keys() != {"value"}:  # text of more than one line
        raise ValueError(f"more than one value: {text!r}")
    return document["value"]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
