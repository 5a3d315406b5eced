"""Targets ``module:callable`` and ``module:id``."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

import gymnasium

from surefoot.errors import UserError, suggest
from surefoot.processes import import_path
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
    except ModuleNotFoundError as error:
        raise UserError(f"task '{target}': {_as_module(target) or _missing(module, error.name)}") from error
    except (Exception, SystemExit) as error:  # the module is user code
        raise UserError(
            f"task '{target}': the module '{module}' cannot be imported: {describe_exception(error)}"
        ) from error


def load_callable(target: str) -> Callable[[], Any]:
    """Return the callable that "module:callable" names; the part after the colon may be a path of attributes.

    Raises:
        UserError: There is no such module or attribute, or it cannot be called without arguments.
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
                f"task '{target}': {where} has no attribute '{part}'{suggest(part, _choices(found))}; {_EXPECTED}"
            ) from None
        found, where = value, f"'{part}'"
    require_callable(found, target)
    return found


def require_callable(factory: object, name: str) -> None:
    """Validate that an environment factory can be called without arguments.

    Args:
        factory: Object to validate.
        name: Name of the task, for the error message.

    Raises:
        UserError: It cannot be called, or needs arguments.
    """
    if isinstance(factory, gymnasium.Env):
        raise UserError(
            f"task '{name}' is an environment itself, expected a callable that makes one: every seed needs its own"
        )
    if not callable(factory):
        raise UserError(f"task '{name}' is {factory!r}, expected a callable that returns a gymnasium.Env")
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return  # some builtins have no signature
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind not in variadic
    ]
    if needed:
        raise UserError(
            f"task '{name}' needs the argument {needed[0]!r}, expected a callable that takes none: give it a default, "
            "or write a function that passes it"
        )


def _top_level_modules() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(import_path())) - sys.stdlib_module_names


def _missing(module: str, missing: str | None) -> str:
    """Describe which module is missing: the named one, or one that it imports."""
    missing = missing or module
    if missing != module and not module.startswith(f"{missing}."):
        return f"the module '{module}' imports '{missing}', which is not installed"
    package, _, name = missing.rpartition(".")
    if not package:
        near = suggest(name, _top_level_modules())
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


def _choices(found: Any) -> list[str]:
    """Return the names to suggest instead of a missing attribute."""
    return [name for name in dir(found) if callable(getattr(found, name, None))] + list(gymnasium.registry)
