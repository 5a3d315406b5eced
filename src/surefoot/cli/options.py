"""Types of command-line options, whose error messages state what was expected."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, get_origin

import tyro

from surefoot.keywords import parse_keyword
from surefoot.training.config import Setting
from surefoot.whole_numbers import ratio_from_text, whole_from_text


def _show(value: Any) -> list[str]:
    """Return a default as ``--help`` prints it."""
    return [f"{value:_}" if isinstance(value, int) else str(value)]


def _option[T](parse: Callable[[str], T], metavar: str, expected: str) -> tyro.constructors.PrimitiveConstructorSpec[T]:
    """Return the specification of an option with one value; ``parse`` raises ValueError for invalid text."""

    def from_strings(strings: list[str]) -> T:
        try:
            return parse(strings[0])
        except ValueError:
            raise ValueError(f"expected {expected}, got {strings[0]!r}") from None

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1, metavar=metavar, instance_from_str=from_strings, is_instance=lambda _: True, str_from_instance=_show
    )


def _hint(text: str) -> object:
    """Replace a default of None in ``--help``."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


_WHOLE_NUMBER = "a whole number such as 1_000_000 or 1e6"
_WHOLE = _option(whole_from_text, "N", _WHOLE_NUMBER)
_NAME = _option(str, "NAME", "a name")
_PATH = _option(Path, "PATH", "a path")
_KEYWORD = _option(
    parse_keyword, "KEY=VALUE", "KEY=VALUE with a value as in TOML, such as continuous=true or size='[3, 4]'"
)
Keywords = Annotated[
    tuple[Annotated[tuple[str, Any], _KEYWORD], ...], tyro.conf.UseAppendAction, _hint("none; repeatable")
]


def setting_option(setting: Setting, *, resume: bool) -> tuple[str, Any, Any]:
    """Return a setting of a run as the field of a command, as ``dataclasses.make_dataclass`` takes it.

    Args:
        setting: Setting of ``TrainConfig``.
        resume: Whether the command resumes a run, so that settings keep their values by default.
    """
    kind, default, hint = setting.kind, setting.default, setting.hint
    if resume:
        default, hint = (False if kind is bool else None), "unchanged"
    meaning = setting.meaning
    if resume and kind is bool:
        meaning += f" Only Python can turn it off: surefoot.resume(path, {setting.name}=False)."
    marks: list[Any] = [tyro.conf.arg(help=meaning)]
    if hint:
        marks.append(_hint(hint))
    if kind is int:
        marks.append(_option(whole_from_text, setting.unit, _WHOLE_NUMBER))
    elif get_origin(kind) is tuple:
        kind = str
        marks.append(_option(str, setting.unit, "keys separated by commas"))
    elif get_origin(kind) is dict:
        return setting.name, Annotated[Keywords, *marks], dataclasses.field(default=())
    elif kind is Path or kind is str:
        marks.append(_option(kind, setting.unit, "a path or a name"))
    if default is None:
        kind = kind | None
    return setting.name, Annotated[kind, *marks], dataclasses.field(default=default)


Int = Annotated[int, _WHOLE]
PresetRatio = Annotated[
    Fraction | None,
    _option(ratio_from_text, "UTD", "a number such as 2, 0.5 or 2/1024"),
    _hint("the algorithm's"),
]
SettingTexts = Annotated[
    tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH=VALUE"), _hint("the algorithm's settings")
]
SeedInt = Annotated[int | None, _WHOLE, _hint("the one with the best score")]
CellPatterns = Annotated[
    tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN"), _hint("all; repeatable")
]
GridOutPath = Annotated[Path | None, _PATH, _hint("runs/GRID")]
FpsFloat = Annotated[
    float | None,
    _option(float, "X", "a number such as 25 or 29.97"),
    _hint("near 50, or near 25 in a .gif, for even motion"),
]
WidthInt = Annotated[int | None, _WHOLE, _hint("640, or 320 for several policies")]
HeightInt = Annotated[int | None, _WHOLE, _hint("480, or 240 for several policies")]
CameraName = Annotated[str | None, _NAME, _hint("the suite's default")]
RunTask = Annotated[str | None, _NAME, _hint("the run's")]
VideoPath = Annotated[Path, _PATH, tyro.conf.arg(aliases=["-o"])]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
TaskName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
GridName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="GRID")]
AddressName = Annotated[str | None, _NAME, _hint("a fresh cluster on this machine")]
WorkersInt = Annotated[int | None, _WHOLE, _hint("chosen from the number of cores and environments")]
LimitInt = Annotated[int | None, _WHOLE, _hint("as many as fit")]
PresetName = Annotated[str | None, tyro.conf.Positional, _NAME, _hint("list all")]
