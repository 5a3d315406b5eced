"""Text of any bytes in files, messages and commands."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot.errors import RunFailure, UserError
from surefoot.runs.untrusted import encode_json, parse_json
from surefoot.streams import emit
from surefoot.text import one_line, printable, python_literal, readable, shell_command, shell_path

LATIN = os.fsdecode(b"caf\xe9")
"""A name in ISO 8859-1, as Python decodes it where file names are UTF-8."""
NAMES = [
    LATIN,
    "plain",
    "a b",
    "o'clock $HOME `id`",
    'the "x"',
    "line\nbreak",
    "\x1b[2J",
    "Füße 😀",
    "back\\slash",
    "-x",
    "",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(LATIN, "caf\\xe9"), ("Füße 😀", "Füße 😀"), ("\ud800x", "\\ud800x"), ("a\nb", "a\nb"), (Path(LATIN), "caf\\xe9")],
)
def test_readable_text_is_valid_unicode(text: str | Path, expected: str) -> None:
    assert readable(text) == expected
    readable(text).encode()


@pytest.mark.parametrize("name", NAMES)
def test_printable_text_is_one_line(name: str) -> None:
    assert printable(name).isprintable()
    assert printable(printable(name)) == printable(name)


@pytest.mark.parametrize("kind", [UserError, RunFailure])
def test_messages_are_one_printable_line(kind: type[Exception]) -> None:
    assert str(kind(f"cannot read {LATIN}:\n  no permission\x1b[2J")) == "cannot read caf\\xe9: no permission\\x1b[2J"
    assert one_line("unchanged  blanks") == "unchanged  blanks"
    assert len(str(kind("x" * 1_000_000))) < 3000


def test_shell_parses_printed_commands_into_their_arguments() -> None:
    command = shell_command("printf", "%s\\0", *NAMES, shell_path("x")[:0])
    assert command.isprintable()
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[: len(NAMES)] == [os.fsencode(name) for name in NAMES]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk", "utf-8"])
def test_shell_parses_commands_that_any_terminal_has_printed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    emit(shell_command("printf", "%s\\0", *NAMES, "你好"))
    terminal.seek(0)
    command = terminal.read().encode()  # as it is typed or pasted elsewhere
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(name) for name in [*NAMES, "你好"]]


def test_paths_in_commands_are_no_options() -> None:
    assert shell_path(Path("-x y")) == "'./-x y'"
    assert shell_path(Path("runs/x")) == "runs/x"


@pytest.mark.parametrize("name", [*NAMES, "\ud800"])
def test_python_literals_have_the_value_of_the_text(name: str) -> None:
    assert python_literal(name).isprintable()
    assert ast.literal_eval(python_literal(name)) == name


@pytest.mark.parametrize("name", [*NAMES, "\ud800", "\\udce9 is not a surrogate"])
def test_json_is_read_as_it_was_written(name: str) -> None:
    value = {"command": ["surefoot", name], name: {"deep": [[name]]}, "number": 1.5}
    content = encode_json(value)
    assert parse_json(content) == json.loads(
        json.dumps(value).replace("\\ud800", "\\\\ud800").replace(json.dumps(LATIN)[1:-1], "caf\\\\xe9")
    )
    assert encode_json(parse_json(content)) == content


def test_json_with_half_a_surrogate_pair_is_read() -> None:
    assert parse_json(b'["\\ud83d\\ude00", "\\udce9", "\\uDCE9"]') == ["😀", "\\xe9", "\\xe9"]
