"""Types of command-line options, with error messages that say what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro


def _show(value: Any) -> list[str]:
    """A default as ``--help`` prints it."""
    return [f"{value:_}" if isinstance(value, int) else str(value)]


def _option[T](parse: Callable[[str], T], metavar: str, expected: str) -> tyro.constructors.PrimitiveConstructorSpec[T]:
    """An option of one value; ``parse`` raises ValueError for what it does not understand."""

    def from_strings(strings: list[str]) -> T:
        try:
            return parse(strings[0])
        except ValueError:
            raise ValueError(f"expected {expected}, got {strings[0]!r}") from None

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1, metavar=metavar, instance_from_str=from_strings, is_instance=lambda _: True, str_from_instance=_show
    )


def _hint(text: str) -> object:
    """What ``--help`` says in place of a default of None."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


_WHOLE = _option(int, "N", "a whole number such as 1_000_000")
_REAL = _option(float, "X", "a number such as 0.99 or 3e-4")
_NAME = _option(str, "NAME", "a name")
_PATH = _option(Path, "PATH", "a path")

Int = Annotated[int, _WHOLE]
PresetInt = Annotated[int | None, _WHOLE, _hint("the algorithm's")]
PresetPart = Annotated[str | None, _option(str, "PART", "a part"), _hint("the algorithm's")]
PresetFloat = Annotated[float | None, _REAL, _hint("the algorithm's")]
TaskFloat = Annotated[float | None, _REAL, _hint("the task's")]
TaskInt = Annotated[int | None, _WHOLE, _hint("the task's")]
SeedInt = Annotated[int | None, _WHOLE, _hint("the one with the best score")]
KeptInt = Annotated[int | None, _WHOLE, _hint("as before")]
CapacityInt = Annotated[int | None, _WHOLE, _hint("the run's agent steps, at most 1_000_000")]
WorkersInt = Annotated[int | None, _WHOLE, _hint("chosen from the number of cores and seeds")]
PythonPath = Annotated[Path | None, _PATH, _hint("the one that make bench installs, where it is there")]
SourcePath = Annotated[Path | None, _PATH, _hint("fresh networks")]
DataName = Annotated[str | None, _option(str, "DATA", "a path or a name"), _hint("an empty replay buffer")]
GridOutPath = Annotated[Path | None, _PATH, _hint("runs/GRID")]
OutPath = Annotated[Path | None, _PATH, _hint("runs/TASK-ALGORITHM-NUMBER")]
EvenFpsFloat = Annotated[float | None, _REAL, _hint("near 50, in a .gif near 25, so that motion is even")]
WidthInt = Annotated[int | None, _WHOLE, _hint("640, or 320 beside others")]
HeightInt = Annotated[int | None, _WHOLE, _hint("480, or 240 beside others")]
CameraName = Annotated[str | None, _NAME, _hint("the suite's usual one")]
RunTask = Annotated[str | None, _NAME, _hint("the run's")]
VideoPath = Annotated[Path, _PATH, tyro.conf.arg(aliases=["-o"])]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
TaskName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
GridName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="GRID")]
AddressName = Annotated[str | None, _NAME, _hint("a fresh cluster on this machine")]
LimitInt = Annotated[int | None, _WHOLE, _hint("as many as there is room for")]
PresetName = Annotated[str | None, tyro.conf.Positional, _NAME, _hint("list all")]
