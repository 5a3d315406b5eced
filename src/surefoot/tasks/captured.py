"""Variables that a function uses from outside, by its instructions."""

from __future__ import annotations

import contextlib
import dis
import itertools
import types
from collections.abc import Iterator
from typing import Any


def _closure(function: types.FunctionType) -> dict[str, Any]:
    captured = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            captured[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return captured


def default_arguments(function: types.FunctionType) -> dict[str, Any]:
    """Return the default values of a function's parameters."""
    positional, code = function.__defaults__ or (), function.__code__
    names = code.co_varnames[code.co_argcount - len(positional) : code.co_argcount]
    return dict(zip(names, positional, strict=True)) | (function.__kwdefaults__ or {})


_READ_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_READ_CELL = ("LOAD_DEREF", "LOAD_FROM_DICT_OR_DEREF")
"""Instructions of Python 3.12 and 3.13 that read a variable from outside a function."""


def captured_variables(function: types.FunctionType) -> dict[str, Any]:
    """Return the variables that a function reads from outside: "size", and "args.size" where it reads an attribute."""
    names, cells = function.__globals__, _closure(function)
    found: dict[str, Any] = {}
    for code in _codes(function.__code__):
        for read, following in itertools.pairwise((*dis.get_instructions(code), None)):
            assert read is not None
            variables = names if read.opname in _READ_GLOBAL else cells if read.opname in _READ_CELL else {}
            if read.argval not in variables:
                continue
            key, value = read.argval, variables[read.argval]
            if following is not None and following.opname == "LOAD_ATTR":
                with contextlib.suppress(Exception):  # user code; the whole variable is captured
                    key, value = f"{key}.{following.argval}", getattr(value, following.argval)
            found[key] = value
    return found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
