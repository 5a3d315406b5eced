"""From arguments to a command: tyro does the work, and what it refuses becomes one line.

tyro reports a mistake in a box of several lines. A script, a log file and a person in a hurry are better served by one
line that names the value and what was expected, so the box is caught and its message taken out.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import operator
import re
from collections.abc import Sequence
from typing import Annotated, Any, get_type_hints

import tyro

from surefoot.errors import UserError, suggest

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = "╭╮╰╯│─|+ "  # the ASCII ones where the terminal has no Unicode
_RULE = re.compile(r"[\s│|+─-]*")
_HELP = ("-h", "--help")


def parse(commands: dict[str, type], arguments: Sequence[str]) -> Any:
    """Build the command that the arguments name.

    Args:
        commands: a dataclass for each name.
        arguments: what followed the program's name.

    Raises:
        UserError: one line about the first mistake.
        SystemExit: 0, after ``--help`` was printed.
    """
    given = list(arguments) or ["--help"]
    first = given[0]
    if first not in commands and first not in _HELP:
        valid = (*commands, *_HELP, "--version")
        raise UserError(f"unknown command {first!r}: expected one of {', '.join(commands)}{suggest(first, valid)}")
    if first in commands:
        _check_options(first, commands[first], given[1:])
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            command, unexpected = tyro.cli(
                _union(commands),
                prog="surefoot",
                description="Sample-efficient off-policy reinforcement learning for continuous control.",
                args=given,
                return_unknown_args=True,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{first}: {_message(box.getvalue())}; see surefoot {first} --help") from None
    if unexpected:
        raise UserError(f"{first}: unexpected argument {unexpected[0]!r}; see surefoot {first} --help")
    return command


def _check_options(name: str, command: type, arguments: Sequence[str]) -> None:
    """Refuse an option the command does not have, before its value can be mistaken for something else."""
    hints = get_type_hints(command, include_extras=True)
    options = [name for name, hint in hints.items() if tyro.conf.Positional not in getattr(hint, "__metadata__", ())]
    valid = [f"--{option.replace('_', '-')}" for option in options]
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("--") and option.replace("_", "-") not in (*valid, *_HELP):
            raise UserError(f"{name}: unknown option {option!r}{suggest(option, valid)}; see surefoot {name} --help")


def _union(commands: dict[str, type]) -> Any:
    """The union type that tyro turns into subcommands."""
    members = [Annotated[command, tyro.conf.subcommand(name)] for name, command in commands.items()]
    return functools.reduce(operator.or_, members)


def _message(box: str) -> str:
    """The sentence in one of tyro's error boxes, which stands between the title and the first rule."""
    lines = (_ANSI.sub("", line) for line in box.splitlines())
    texts = ("" if _RULE.fullmatch(line) else line.strip(_FRAME) for line in lines)
    next(texts, None)  # the title
    body = list(itertools.takewhile(bool, itertools.dropwhile(operator.not_, texts)))
    if body and body[0].startswith("Missing from") and len(body) > 1:  # then the argument's name, then its help
        return f"{body[1]} is missing"
    sentence = " ".join(body)
    if missing := re.match(r"Missing value for argument '([^']+)'", sentence):
        return f"{missing[1]} needs a value"
    return sentence.removeprefix("Error parsing ") or "these options cannot be read"
