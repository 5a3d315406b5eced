"""Parsing of the command line by tyro, with every mistake reported in one line.

tyro reports a mistake in a box of several lines. Scripts and log files are better served by one line that names the
value and what was expected, so the box is captured and its message extracted.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import itertools
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from surefoot.errors import UserError, suggest
from surefoot.misplaced import FIELDS
from surefoot.streams import emit

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = "╭╮╰╯│─|+ "  # the ASCII ones where the terminal has no Unicode
_RULE = re.compile(r"[\s│|+─-]*")
_HELP = ("-h", "--help")


def parse(commands: Mapping[str, str], arguments: Sequence[str]) -> Any:
    """Return the command that the arguments describe.

    Args:
        commands: ``"module:Class"`` of a dataclass for each command's name.
        arguments: Command line after the program's name.

    Raises:
        UserError: One line about the first mistake.
        SystemExit: With code 0, after ``--help`` was printed.
    """
    name = arguments[0] if arguments else "--help"
    if name in _HELP:
        _print_commands(commands)
        raise SystemExit(0)
    if name not in commands:
        valid = (*commands, *_HELP, "--version")
        raise UserError(f"unknown command {name!r}: expected one of {', '.join(commands)}{suggest(name, valid)}")
    return _parse_options(name, load_command(commands[name]), arguments[1:])


def load_command(location: str) -> type:
    """Return the class at ``"module:Class"``."""
    module, _, name = location.partition(":")
    command: type = getattr(importlib.import_module(module), name)
    return command


def _print_commands(commands: Mapping[str, str]) -> None:
    emit("usage: surefoot COMMAND ...\n\nSample-efficient off-policy reinforcement learning for continuous control.\n")
    width = max(map(len, commands))
    for name, location in commands.items():
        summary = (inspect.getdoc(load_command(location)) or "").partition("\n\n")[0]
        emit(f"  {name:<{width}}  {' '.join(summary.split())}")
    emit("\n`surefoot COMMAND --help` describes a command's options; `surefoot --version` prints the version.")


def _parse_options(name: str, command: type, arguments: Sequence[str]) -> Any:
    import tyro

    _check_options(name, command, arguments)
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            parsed: tuple[Any, list[str]] = tyro.cli(
                command,
                prog=f"surefoot {name}",
                args=arguments,
                return_unknown_args=True,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        message = _message(box.getvalue())
        if message.endswith(" is missing") and (greedy := _greedy_option(command, arguments)):
            missing = message.removesuffix(" is missing")
            message += f": {greedy} takes every value after it, so give {missing} before {greedy}"
        raise UserError(f"{name}: {message}; see surefoot {name} --help") from None
    options, unexpected = parsed
    if unexpected:
        raise UserError(f"{name}: unexpected argument {unexpected[0]!r}; see surefoot {name} --help")
    return options


def _check_options(name: str, command: type, arguments: Sequence[str]) -> None:
    """Validate the options' names, before tyro can take the value of an unknown option for something else."""
    import tyro

    hints = get_type_hints(command, include_extras=True)
    options = [field for field, hint in hints.items() if tyro.conf.Positional not in getattr(hint, "__metadata__", ())]
    valid = [f"--{option.replace('_', '-')}" for option in options]
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("--") and option.replace("_", "-") not in (*valid, *_HELP):
            hint = _algorithm_setting(option, "--set" in valid) or suggest(option, valid)
            raise UserError(f"{name}: unknown option {option!r}{hint}; see surefoot {name} --help")


def _greedy_option(command: type, arguments: Sequence[str]) -> str:
    """Return the first given option that takes any number of values; empty if there is none."""
    import tyro

    for field, hint in get_type_hints(command, include_extras=True).items():
        option = f"--{field.replace('_', '-')}"
        # An option's type is inside of Annotated, and there may be a member of a union with None.
        kinds = [part for kind in (hint, *get_args(hint)) for part in (kind, *get_args(kind))]
        if tyro.conf.UseAppendAction in kinds:
            continue  # one value at a time
        if any(get_origin(kind) is tuple for kind in kinds):
            for argument in arguments:
                if argument.partition("=")[0].replace("_", "-") == option:
                    return option
    return ""


def _algorithm_setting(option: str, can_set: bool) -> str:
    """Return how to set a field of the algorithm that was given as an option; empty if it is none."""
    field = option.removeprefix("--").replace("-", "_")
    if field not in FIELDS or field == "name":
        return ""
    return f", which belongs to the algorithm: --set {field}=VALUE" if can_set else ", which belongs to the algorithm"


def _message(box: str) -> str:
    """Return the sentence in one of tyro's error boxes, which is between the title and the first rule."""
    lines = (_ANSI.sub("", line) for line in box.splitlines())
    texts = ("" if _RULE.fullmatch(line) else line.strip(_FRAME) for line in lines)
    next(texts, None)  # the title
    body = list(itertools.takewhile(bool, itertools.dropwhile(operator.not_, texts)))
    if body and body[0].startswith("Missing from") and len(body) > 1:  # then the argument's name, then its help
        return f"{body[1]} is missing"
    sentence = " ".join(body)
    if missing := re.match(r"Missing value for argument '([^']+)'", sentence):
        return f"{missing[1]} needs a value"
    return sentence.removeprefix("Error parsing ") or "these options cannot be parsed"
