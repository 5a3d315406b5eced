"""Observations and actions of an environment, with their keys and shapes."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from surefoot.errors import UserError
from surefoot.spaces.actions import ActionSpec
from surefoot.spaces.validation import (
    MAX_SIZE,
    UnsupportedSpace,
    as_numbers,
    invalid,
    read_dtype,
    read_shape,
    require_fields,
)

_MAX_KEY = 500


@dataclass(frozen=True)
class ObservationPart:
    """One array of an observation.

    Attributes:
        key: Its key in a Dict observation; None for an observation that is one array.
        shape: Its shape.
        dtype: NumPy's name of its dtype.
    """

    key: str | None
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Return the array that JSON values describe; `EnvSpaces` validates keys.

        Raises:
            UserError: They describe none.
        """
        require_fields(data, {"key", "shape", "dtype"}, "spaces.observation")
        return cls(data["key"], read_shape(data["shape"]), read_dtype(data["dtype"]))


@dataclass(frozen=True)
class EnvSpaces:
    """Observations and actions of an environment.

    Attributes:
        observation: Arrays of an observation, in the order in which they are concatenated.
        action: Actions.

    Raises:
        UnsupportedSpace: An observation has no entries or more than 2**31 - 1, or a key is not a printable text.
    """

    observation: tuple[ObservationPart, ...]
    action: ActionSpec

    def __post_init__(self) -> None:
        """Validate keys and sizes."""
        keys = [part.key for part in self.observation]
        for key in keys if keys != [None] else []:
            if not isinstance(key, str) or not key.isprintable() or len(key) > _MAX_KEY:
                raise UnsupportedSpace(
                    "observation-space",
                    f"the observation key {key!r:.80}, expected a printable text of at most {_MAX_KEY} characters",
                )
        if len(set(keys)) != len(keys):
            raise UnsupportedSpace("observation-space", "an observation key that occurs twice")
        if not 1 <= self.observation_size <= MAX_SIZE:
            raise UnsupportedSpace(
                "observation-space",
                f"observations of {self.observation_size:,} numbers, expected at least one number"
                + (f" and at most {MAX_SIZE:,}" if self.observation_size else ""),
            )

    @functools.cached_property
    def observation_size(self) -> int:
        """O, the number of entries of a flat observation."""
        return sum(part.size for part in self.observation)

    @property
    def observation_keys(self) -> tuple[str, ...] | None:
        """Keys of a Dict observation in the order of concatenation; None for one array."""
        keys = tuple(part.key for part in self.observation if part.key is not None)
        return keys or None

    # ---------------------------------------------------------------- observations

    def flatten(self, observation: Any) -> np.ndarray:
        """Return an environment's own observation as a new flat array, float32, without checking its shape."""
        if self.observation_keys is None:
            return np.array(observation, np.float32).reshape(-1)
        return np.concatenate([np.asarray(observation[key], np.float32).reshape(-1) for key in self.observation_keys])

    def to_rows(self, observation: Any, name: str, *, batches: bool) -> tuple[np.ndarray, bool]:
        """Validate observations in their own shapes, and flatten them.

        Args:
            observation: One observation as the environment returns it: an array, or a mapping for a Dict space.
            name: Name of the argument in error messages.
            batches: Whether a batch is also accepted: every array with one more leading axis. Its number of axes tells
                it from a single observation, also where that has a first axis of length 1. With it, a Dict observation
                may also be given flat, [O] or [B, O].

        Returns:
            [B, O] float32, and whether it is one observation rather than a batch.

        Raises:
            UserError: Keys or shapes differ, or a value is no number or not finite in float32.
        """
        keys, parts = self.observation_keys, self.observation
        if keys is None:
            arrays = [_as_float32(observation, name)]
        elif isinstance(observation, Mapping):
            if not set(keys) <= set(observation):  # environments may return more than their space names
                got = ", ".join(map(str, observation)) or "none"
                raise UserError(f"{name} has the keys {got}, expected {', '.join(keys)}")
            arrays = [_as_float32(observation[key], f"{name}[{key!r}]") for key in keys]
        elif batches:
            parts, arrays = (ObservationPart(None, (self.observation_size,), ""),), [_as_float32(observation, name)]
        else:
            raise UserError(f"{name} is {type(observation).__name__}, expected a dict with the keys {', '.join(keys)}")
        is_batch = batches and arrays[0].ndim == len(parts[0].shape) + 1
        leading = arrays[0].shape[:1] if is_batch else ()
        for part, array in zip(parts, arrays, strict=True):
            if array.shape != (*leading, *part.shape):
                of = name if part.key is None else f"{name}[{part.key!r}]"
                raise UserError(f"{of} has shape {array.shape}, expected {_expected(part.shape, batches)}")
        count = leading[0] if is_batch else 1
        rows = np.concatenate([array.reshape(count, part.size) for part, array in zip(parts, arrays, strict=True)], 1)
        if not np.isfinite(rows).all():
            raise UserError(f"{name} contains NaN or a number that is infinite in float32")
        return rows, not is_batch

    # ---------------------------------------------------------------- storage and comparison

    def to_data(self) -> dict[str, Any]:
        """Return JSON values."""
        data = asdict(self)
        parts = [{**part, "shape": list(part["shape"])} for part in data["observation"]]
        lists = {name: list(data["action"][name]) for name in ("shape", "low", "high")}
        return {"observation": parts, "action": {**data["action"], **lists}}

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Return the spaces from the output of ``to_data``, which may come from an untrusted file.

        Raises:
            UserError: The data describe no supported spaces, or are None, as in files of earlier versions.
        """
        if data is None:
            raise UserError("spaces are missing, as in runs of earlier versions, which have to be trained again")
        require_fields(data, {"observation", "action"}, "spaces")
        if not isinstance(parts := data["observation"], list | tuple):
            raise invalid("spaces.observation", parts, "a list")
        return cls(tuple(map(ObservationPart.from_data, parts)), ActionSpec.from_data(data["action"]))

    def difference(self, other: EnvSpaces) -> tuple[str, str, str] | None:
        """Return the first property that differs, its value here and its value there; None if the spaces are equal."""
        if self.observation_keys != other.observation_keys:
            return "observation keys", _listed(self.observation_keys), _listed(other.observation_keys)
        for mine, theirs in zip(self.observation, other.observation, strict=True):
            of = "observation" if mine.key is None else f"observation[{mine.key!r}]"
            for name in ("shape", "dtype"):
                if getattr(mine, name) != getattr(theirs, name):
                    return f"{of} {name}", str(getattr(mine, name)), str(getattr(theirs, name))
        return self.action.difference(other.action)


def require_same(trained: EnvSpaces, found: EnvSpaces, source: str, task: str) -> None:
    """Validate that an environment is the one that something was trained on.

    Args:
        trained: Spaces stored with a run, policy or agent.
        found: Spaces of the environment it is used with now.
        source: Name of the run, policy or agent, for the error message.
        task: Name of the task, likewise.

    Raises:
        UserError: They differ; the message holds both sides.
    """
    if (different := trained.difference(found)) is not None:
        what, there, here = different
        raise UserError(f"{source} was trained with {what} {there}, but the environment of '{task}' now has {here}")


def _as_float32(value: ArrayLike, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # an infinite observation is an error
        return as_numbers(value, name).astype(np.float32)


def _expected(shape: tuple[int, ...], batches: bool) -> str:
    return f"{shape} or ({', '.join(['batch', *map(str, shape)])}{'' if shape else ','})" if batches else str(shape)


def _listed(keys: tuple[str, ...] | None) -> str:
    return "none (one array)" if keys is None else ", ".join(keys)
