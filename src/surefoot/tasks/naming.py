"""Names of callables that make environments, by function, code and arguments.

A name is the same in every process that makes the same environment, since the seeds of episodes depend on it.
"""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import hashlib
import os
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.tasks.captured import captured_variables, default_arguments
from surefoot.text import printable

_MAX_ARGUMENTS = 80
_MAX_NAME = 200
_SCALARS = (type(None), bool, int, float, complex, str, bytes, types.EllipsisType, types.NotImplementedType)
_COLLECTIONS = (list, tuple, set, frozenset)
_NO_MEMBERS = frozenset(
    {"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"}
)
"""Entries of a class that do not define what it does."""
_RANDOM = "_np_random"
"""Attribute of Gymnasium's spaces: a generator that is made, and changes, when they are sampled."""


@dataclass(frozen=True)
class _Around:
    """Surroundings of a value in a description.

    Attributes:
        ids: Ids of the objects that contain it and, perhaps, themselves.
        undescribed: Types of objects that could not be described so far.
    """

    ids: tuple[int, ...] = ()
    undescribed: list[str] = dataclasses.field(default_factory=list)

    def inside(self, value: object) -> _Around:
        """Return the surroundings of what a value contains."""
        return dataclasses.replace(self, ids=(*self.ids, id(value)))


def callable_name(factory: Any) -> tuple[str, str | None]:
    """Return the name of a callable, and what is missing in it.

    A function or class that its module holds under its own name is "module:name"; where the module is the main script,
    the script's name stands for it. Others (lambdas, local functions, functions of interactive sessions) have a digest
    of their code in addition. Arguments of a `functools.partial`, variables that a function captures and the state of
    an object that is called follow in parentheses, those that are long with a digest instead of their end.

    Returns:
        The name; and a line about objects that pickle cannot store, of which the name has only the type, or None.
    """
    around = _Around()
    name = _bounded(printable(_describe(factory, around)), _MAX_NAME)
    if not around.undescribed:
        return name, None
    kinds = ", ".join(dict.fromkeys(around.undescribed))
    return name, (
        f"the name of the task, {name}, does not describe the {kinds} that it holds: tasks that differ in it only have "
        "one name; a function that makes what it needs avoids this"
    )


def arguments_text(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> str:
    """Return arguments in parentheses, as part of a task's name; an empty text if there are none."""
    return _arguments(arguments, keywords, _Around())


def _arguments(arguments: tuple[Any, ...], keywords: Mapping[str, Any], around: _Around) -> str:
    texts = [_describe(value, around) for value in arguments]
    texts += [f"{key}={_describe(keywords[key], around)}" for key in sorted(keywords)]
    return f"({_bounded(', '.join(texts), _MAX_ARGUMENTS)})" if texts else ""


def _bounded(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 20]}...#{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:10]


# ---------------------------------------------------------------- values


def _describe(value: Any, around: _Around) -> str:
    """Return the text of a value."""
    if isinstance(value, _SCALARS) and type(value) in _SCALARS:
        return repr(value)
    if id(value) in around.ids:
        return "..."
    around = around.inside(value)
    match value:
        case functools.partial():
            return _describe(value.func, around) + _arguments(value.args, value.keywords, around)
        case types.ModuleType():
            return _module_name(value.__name__)
        case types.FunctionType():
            return _function(value, around)
        case types.MethodType():
            return _method(value, around)
        case type():
            return _class(value, around)
        case dict() | list() | tuple() | set() | frozenset() if type(value) in (dict, *_COLLECTIONS):
            return _collection(value, around)
        case np.ndarray() if value.dtype.kind != "O":
            content = np.ascontiguousarray(value).tobytes().hex()
            return f"array({value.shape} {value.dtype} #{_digest(content)})"
        case np.generic():
            return f"{value.dtype}({value.item()!r})"
        case os.PathLike():
            return f"Path({os.fspath(value)!r})"
    return _object(value, around)


def _collection(value: Any, around: _Around) -> str:
    if isinstance(value, dict):
        entries = sorted(f"{_describe(key, around)}: {_describe(entry, around)}" for key, entry in value.items())
        return f"{{{', '.join(entries)}}}"
    texts = [_describe(entry, around) for entry in value]
    if isinstance(value, list | tuple):
        text = ", ".join(texts)
        return f"[{text}]" if isinstance(value, list) else f"({text},)" if len(texts) == 1 else f"({text})"
    return f"{type(value).__name__}({', '.join(sorted(texts))})"  # the order of a set differs between processes


def _object(value: Any, around: _Around) -> str:
    """Describe an object by its class and what pickle would store of it."""
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str) and _is_found(value, name):  # a built-in function, or a decorated one
        return f"{_module_name(value.__module__)}:{name}"
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # objects may raise anything
        kind = type(value)
        around.undescribed.append(f"{kind.__module__}.{kind.__qualname__}")
        return f"<{kind.__qualname__}>"
    if isinstance(reduced, str):
        return f"{_module_name(getattr(value, '__module__', ''))}:{reduced}"
    make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    if make is copyreg.__newobj__:  # type: ignore[attr-defined]
        make, *arguments = arguments
    keywords = {}
    if isinstance(state, dict) and all(isinstance(key, str) for key in state):
        keywords = {key: entry for key, entry in state.items() if key != _RANDOM}
    elif state is not None:
        arguments = (*arguments, state)
    arguments = (*arguments, *([list(items)] if items else []), *([dict(pairs)] if pairs else []))
    return _describe(make, around) + _arguments(tuple(arguments), keywords, around)


# ---------------------------------------------------------------- functions and classes


def _function(function: types.FunctionType, around: _Around) -> str:
    name = f"{_module_name(function.__module__)}:{function.__qualname__}"
    captured = captured_variables(function)
    if _is_found(function, function.__qualname__):
        if function.__module__ != "__main__":
            return name
        # A script may call one function with several values of a global variable.
        captured = {key: value for key, value in captured.items() if _is_data(value)}
        code = "" if _has_file() else f"#{_digest(_code(function.__code__, around))}"
        return name + code + _arguments((), captured, around)
    captured |= default_arguments(function)
    fixed = {key: value for key, value in captured.items() if isinstance(value, _FIXED)}
    content = _code(function.__code__, around) + _describe(fixed, around)
    varying = {key: value for key, value in captured.items() if key not in fixed}
    return f"{name}#{_digest(content)}{_arguments((), varying, around)}"


_FIXED = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
"""Kinds of captured values that are part of the code rather than arguments."""


def _is_data(value: Any) -> bool:
    """Return whether a value consists of numbers and texts, rather than objects, which a script may change."""
    if isinstance(value, dict):
        return all(map(_is_data, (*value, *value.values())))
    return all(map(_is_data, value)) if isinstance(value, _COLLECTIONS) else isinstance(value, _SCALARS)


def _method(method: types.MethodType, around: _Around) -> str:
    owner = _describe(method.__self__, around)
    name = getattr(method.__func__, "__name__", "")
    if getattr(method.__self__, name, None) == method:
        return f"{owner}.{name}"
    return f"{owner}.{_describe(method.__func__, around)}"


def _class(kind: type, around: _Around) -> str:
    name = f"{_module_name(kind.__module__)}:{kind.__qualname__}"
    is_found = _is_found(kind, kind.__qualname__)
    if is_found and (kind.__module__ != "__main__" or _has_file()):
        return name
    bases = [_describe(base, around) for base in kind.__bases__]
    members = {key: _member(value) for key, value in vars(kind).items() if key not in _NO_MEMBERS}
    if is_found:  # of an interactive session: its code, without attributes, which may change
        members = {key: value for key, value in members.items() if isinstance(value, types.FunctionType)}
        content = [f"{key}: {_code(value.__code__, around)}" for key, value in sorted(members.items())]
    else:
        slots = (types.GetSetDescriptorType, types.MemberDescriptorType)
        content = [
            f"{key}: {_describe(value, around)}"
            for key, value in sorted(members.items())
            if not isinstance(value, slots)
        ]
    return f"{name}#{_digest(repr((bases, content)))}"


def _member(value: Any) -> Any:
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    return (value.fget, value.fset, value.fdel) if isinstance(value, property) else value


def _code(code: types.CodeType, around: _Around) -> str:
    """Return what a function does, without its place in a file."""
    constants = [
        _code(constant, around) if isinstance(constant, types.CodeType) else _describe(constant, around)
        for constant in code.co_consts
    ]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return repr((code.co_code.hex(), code.co_exceptiontable.hex(), counts, names, constants))


# ---------------------------------------------------------------- modules


def _is_found(value: Any, qualname: str) -> bool:
    """Return whether a module holds this very object under its own name."""
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is value and found is not None


def _has_file() -> bool:
    """Return whether this process runs a script or module, rather than an interactive session."""
    return getattr(sys.modules["__main__"], "__file__", None) is not None


def _module_name(name: str | None) -> str:
    """Return the name of a module, and the one under which the main script could be imported."""
    if name != "__main__" or not _has_file():
        return name or "builtins"
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return spec.name if spec is not None else Path(str(main.__file__)).stem
