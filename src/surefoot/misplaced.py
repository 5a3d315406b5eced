"""Keyword arguments that a function does not have: errors that say where they belong."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable

from surefoot.errors import UserError, suggest
from surefoot.typed_settings import AlgorithmFields, TrainSettings

FIELDS = tuple(AlgorithmFields.__annotations__)
"""Fields of ``Algorithm``, which is not imported here because it imports JAX."""
SETTINGS = tuple(TrainSettings.__annotations__)
"""Settings of ``train``."""

FUNCTIONS: set[str] = set()
"""Names of the functions that return a named algorithm; the registry adds them."""

_RATE = "learning_rate"
_MOST = 40


def explains_keywords[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Make an unknown keyword argument of a function a ``UserError`` that says where it belongs."""
    call = function.__qualname__.removesuffix(".__init__")
    valid = [name for name in inspect.signature(function).parameters if name != "self"]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in kwargs.items():
            if name not in valid:
                raise UserError(f"{call} has no argument {name!r}{explanation(call, name, value, valid)}")
        return function(*args, **kwargs)

    return checked


def explanation(call: str, name: str, value: object, valid: Iterable[str]) -> str:
    """Return where a keyword argument belongs, or what it may be a misspelling of, as the end of a message.

    Args:
        call: Name of the function that was called, or of the preset that was given to it: "train" or "crossq_wn".
        name: Name of the argument.
        value: Value of the argument.
        valid: Names of the function's arguments.
    """
    valid = tuple(valid)
    if owner := _owner(call, name, value, valid):
        return f", which {owner}"
    (close,) = difflib.get_close_matches(name, (*valid, *FIELDS, *SETTINGS, _RATE), n=1, cutoff=0.6) or [""]
    if close not in valid and (owner := _owner(call, close, value, valid)):
        return f"; did you mean {close!r}? It {owner}"
    return suggest(name, valid) or f", expected one of {', '.join(valid)}"


def _owner(call: str, name: str, value: object, valid: tuple[str, ...]) -> str:
    """Return the owner of an argument, with an example; empty if it is unknown."""
    shown = text if len(text := repr(value)) <= _MOST and "\n" not in text else "..."
    target, preset = "algorithm=" if "algorithm" in valid else "", _preset(call)
    if name == "utd":
        example = f"surefoot.{preset}(utd={shown})"
    elif name in FIELDS:
        example = f"surefoot.{preset}().replace({name}={shown})"
    elif name == _RATE:
        example = f"surefoot.algorithms.presets.get_preset({preset.replace('_', '-')!r}, {name}={shown})"
    elif name in SETTINGS:
        return f"is a setting of a run, as in surefoot.train(task, {name}={shown})"
    else:
        return ""
    return f"belongs to the algorithm, as in {target}{example}"


def _preset(call: str) -> str:
    """Return the function of the preset that was called or given, else that of the default preset."""
    return name if (name := call.replace("-", "_")) in FUNCTIONS else "crossq_wn_code"
