"""Text of paths, arguments and third-party messages: valid Unicode in files, printable lines, arguments of commands.

Paths and arguments may have any bytes. Python represents those that are not UTF-8 as halves of surrogate pairs, which
no file format can store and most streams cannot print. Here they become a backslash and xNN.
"""

from __future__ import annotations

import json
import os
import shlex

from surefoot.encodable import encodable
from surefoot.streams import stdout

_MAX_LINE = 2500


def readable(text: str | os.PathLike[str]) -> str:
    """Return a text or path as valid Unicode, with every byte that is not UTF-8 as a backslash and xNN."""
    given = os.fspath(text)
    try:
        given.encode()
    except UnicodeEncodeError:
        try:
            content = given.encode(errors="surrogateescape")
        except UnicodeEncodeError:  # other halves, which do not stand for bytes
            content = given.encode(errors="backslashreplace")
        return content.decode(errors="backslashreplace")
    return given


def printable(text: str | os.PathLike[str]) -> str:
    """Return a text or path on one line, with line breaks and other characters that cannot be printed escaped."""
    valid = readable(text)
    if valid.isprintable():
        return valid
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in valid)


def one_line(text: str) -> str:
    """Return a message of one or more lines as one printable line, without its middle if it is very long."""
    line = printable(text if text.isprintable() else " ".join(text.split()))
    return line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE // 2]} ... {line[-_MAX_LINE // 2 :]}"


def shell_command(*arguments: str | os.PathLike[str]) -> str:
    """Return a command that a POSIX shell (``$'...'`` as in bash and zsh) parses into exactly these arguments.

    It holds no characters that standard output cannot encode, which would be printed as others.
    """
    return " ".join(_shell_quoted(os.fspath(argument)) for argument in arguments)


def shell_path(path: str | os.PathLike[str]) -> str:
    """Return a path as an argument of a command, which never looks like an option."""
    given = os.fspath(path)
    return _shell_quoted(f"./{given}" if given.startswith("-") else given)


def python_literal(text: str | os.PathLike[str]) -> str:
    """Return the literal of a text or path in Python, in double quotes where it can be printed."""
    given = os.fspath(text)
    return json.dumps(given, ensure_ascii=False) if given.isprintable() else repr(given)


def _shell_quoted(argument: str) -> str:
    if argument.isprintable() and encodable(argument, stdout()) == argument:
        return shlex.quote(argument)
    try:
        content = os.fsencode(argument)
    except UnicodeEncodeError:  # halves that do not stand for bytes
        content = readable(argument).encode()
    return f"$'{''.join(map(_shell_escaped, content))}'"


def _shell_escaped(byte: int) -> str:
    letter = chr(byte)
    if letter in "\\'":
        return f"\\{letter}"
    return letter if 32 <= byte < 127 else f"\\x{byte:02x}"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
