"""Arrays of an observation and their places in Dict and Tuple observations."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Any, Self

from surefoot.spaces.validation import read_dtype, read_shape, require_fields

_INDEX = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class ObservationPart:
    """One array of an observation.

    Attributes:
        key: Its place in a Dict or Tuple observation: keys and indices from the outside in, joined by dots, such as
            "camera.pose" or "1"; None for an observation that is one array. A backslash precedes dots and backslashes
            of a key, and a key that consists of digits.
        shape: Its shape.
        dtype: NumPy's name of its dtype.
    """

    key: str | None
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def at(cls, path: tuple[str | int, ...], shape: tuple[int, ...], dtype: str) -> Self:
        """Return the array at the end of a path of Dict keys (str) and Tuple indices (int)."""
        return cls(_join(path) if path else None, shape, dtype)

    @functools.cached_property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @functools.cached_property
    def path(self) -> tuple[str | int, ...]:
        """Dict keys (str) and Tuple indices (int) that lead to it, from the outside in."""
        return () if self.key is None else _split(self.key)

    @property
    def is_canonical(self) -> bool:
        """Whether the key is the one that ``at`` gives to its path."""
        return self.key is None or _join(self.path) == self.key

    def of(self, observation: Any) -> Any:
        """Return the array in an observation, without validation."""
        for step in self.path:
            observation = observation[step]
        return observation

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Return the array that JSON values describe; `EnvSpaces` validates keys.

        Raises:
            UserError: They describe none.
        """
        require_fields(data, {"key", "shape", "dtype"}, "spaces.observation")
        return cls(data["key"], read_shape(data["shape"]), read_dtype(data["dtype"]))


def _join(path: tuple[str | int, ...]) -> str:
    return ".".join(str(step) if isinstance(step, int) else _escape(step) for step in path)


def _escape(key: str) -> str:
    return f"\\{key}" if _INDEX.fullmatch(key) else key.replace("\\", r"\\").replace(".", r"\.")


def _split(key: str) -> tuple[str | int, ...]:
    # Each step with its dot; the added dot ends the last one.
    texts = re.findall(r"((?:\\.|[^\\.])*)\.", f"{key}.", re.DOTALL)
    return tuple(int(text) if _INDEX.fullmatch(text) else re.sub(r"\\(.)", r"\1", text) for text in texts)
