"""Targets ``module:callable`` and ``module:id``."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from surefoot.errors import UserError, suggest
from surefoot.processes import import_path
from surefoot.tasks.third_party import how_to_install
from surefoot.tasks.tracebacks import describe_exception

_EXPECTED = "expected module:callable or module:id, such as my_package.envs:make_env or my_package:MyEnv-v0"


def import_target(target: str) -> Any:
    """Import the module of a target, also from the current directory, as ``python -m`` does.

    Args:
        target: "module:callable" or "module:id".

    Raises:
        UserError: The module's name is malformed, there is no such module, or importing it raised.
    """
    module = target.rpartition(":")[0]
    if not all(part.isidentifier() for part in module.split(".")):
        # A file's path, or a relative import.
        problem = _as_module(target) or f"'{module}' is not a module's name; {_EXPECTED}"
        raise UserError(f"task '{target}': {problem}")
    with contextlib.suppress(FileNotFoundError):  # the working directory was deleted
        here = os.getcwd()
        if not {"", here} & set(import_path()):
            sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # the module is user code
        if isinstance(error, ModuleNotFoundError) and error.name:
            raise UserError(f"task '{target}': {_as_module(target) or _missing(module, error.name)}") from error
        raise UserError(
            f"task '{target}': the module '{module}' cannot be imported: {describe_exception(error)}"
        ) from error


def load_callable(target: str, keywords: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the callable that "module:callable" names; the part after the colon may be a path of attributes.

    Args:
        target: "module:callable".
        keywords: Keywords of the call.

    Raises:
        UserError: There is no such module or attribute, or it cannot be called with these keywords alone.
    """
    found = import_target(target)
    path = target.rpartition(":")[2]
    if not all(part.isidentifier() for part in path.split(".")):
        raise UserError(f"task '{target}': '{path}' is neither a callable's name nor a registered id; {_EXPECTED}")
    where = f"module '{found.__name__}'"
    for part in path.split("."):
        try:
            value = getattr(found, part)
        except AttributeError:
            raise UserError(
                f"task '{target}': {where} has no attribute '{part}'{_near(part, found, target)}; {_EXPECTED}"
            ) from None
        except Exception as error:  # a module's own __getattr__
            raise UserError(f"task '{target}': '{part}' of {where} raised {describe_exception(error)}") from error
        found, where = value, f"'{part}'"
    require_callable(found, target, keywords)
    return found


def require_callable(factory: object, name: str, keywords: Mapping[str, Any]) -> None:
    """Validate that an environment factory can be called with these keywords.

    Args:
        factory: Object to validate.
        name: Name of the task, for the error message.
        keywords: Keywords of the call.

    Raises:
        UserError: It cannot be called, needs other arguments, or has no such keyword.
    """
    if isinstance(factory, gymnasium.Env):
        known = f", such as its id {factory.spec.id!r}" if factory.spec is not None else ""
        raise UserError(
            f"task '{name}' is an environment itself, expected a callable that makes one or a name{known}: every seed "
            "needs its own"
        )
    if not callable(factory):
        raise UserError(f"task '{name}' is {factory!r}, expected a callable that returns a gymnasium.Env")
    if (parameters := _parameters(factory)) is None:
        return
    taken = _keywords_of(parameters)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        for key in keywords:
            if key not in taken:
                raise UserError(f"task '{name}' {no_such_keyword(key, factory)}")
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (parameter.name not in keywords or parameter.kind is parameter.POSITIONAL_ONLY)
    ]
    if needed:
        raise UserError(
            f"task '{name}' needs the argument {needed[0]!r}: give it a default, "
            f"{HOW_TO_SET.format(needed[0])}, or write a function that passes it"
        )


HOW_TO_SET = "pass --env-set {0}=VALUE (in Python, env_set={{{0!r}: VALUE}} or functools.partial)"
"""How to give an environment a keyword."""


def no_such_keyword(key: str, factory: object) -> str:
    """Return the error about a keyword that a callable does not take, without the task's name."""
    parameters = _parameters(factory)
    if parameters is None:
        return f"has no keyword '{key}'"
    taken = [taken for taken in _keywords_of(parameters) if taken != "render_mode"]  # not for users to choose
    expected = f", expected one of {', '.join(taken)}" if taken else ": it takes none"
    return f"has no keyword '{key}'{suggest(key, taken) or expected}"


def _parameters(factory: object) -> list[inspect.Parameter] | None:
    """Return the parameters of a callable, or None if they are unknown."""
    try:
        return list(inspect.signature(factory).parameters.values())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None  # some builtins have no signature


def _keywords_of(parameters: list[inspect.Parameter]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def _top_level_modules() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(import_path())) - sys.stdlib_module_names


def _missing(module: str, missing: str) -> str:
    """Describe which module is missing: the named one, or one that it imports."""
    if missing != module and not module.startswith(f"{missing}."):
        return f"the module '{module}' imports '{missing}', which is not installed"
    package, _, name = missing.rpartition(".")
    if not package:
        near = f"; {how}" if (how := how_to_install(name)) else suggest(name, _top_level_modules())
        return f"no module named '{missing}' here or among the installed packages{near}"
    path = getattr(sys.modules[package], "__path__", None)
    if path is None:
        return f"'{package}' is a module and not a package: there is no '{missing}'"
    near = suggest(name, [module.name for module in pkgutil.iter_modules(path)])
    return f"the package '{package}' has no module '{name}'{near}"


def _as_module(target: str) -> str:
    """Return a hint with the module's name if the target is a file, else an empty string."""
    file, _, name = target.rpartition(":")
    if not file.endswith(".py") or not os.path.isfile(file):
        return ""
    try:
        parts = os.path.relpath(file.removesuffix(".py")).split(os.sep)
    except FileNotFoundError:  # the working directory was deleted
        return ""
    is_importable = all(part.isidentifier() for part in parts)
    return f"'{file}' is a file, name its module: '{'.'.join(parts)}:{name}'" if is_importable else ""


def _near(name: str, found: Any, target: str) -> str:
    """Return the names to suggest instead of a missing attribute: callables, or ids with their module."""
    module = target.rpartition(":")[0]
    shown = {registered: f"{module}:{registered}" for registered in gymnasium.registry}
    with contextlib.suppress(Exception):  # a module's own __getattr__
        shown |= {other: other for other in dir(found) if callable(getattr(found, other, None))}
    close = difflib.get_close_matches(name, list(shown), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(shown[other]) for other in close)}?" if close else ""
