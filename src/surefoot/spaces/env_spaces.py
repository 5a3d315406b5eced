"""Observations and actions of an environment, their flat form, and comparison."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from surefoot.errors import UserError, suggest
from surefoot.spaces.actions import ActionSpec
from surefoot.spaces.parts import ObservationPart
from surefoot.spaces.validation import MAX_SIZE, UnsupportedSpace, as_numbers, invalid, require_fields

_MAX_KEY = 500
_SHOWN = 6
"""Arrays of an observation that its text names."""


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
        if not all(part.is_canonical for part in self.observation):
            raise UnsupportedSpace("observation-space", "an observation key with a superfluous backslash or zero")
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

    @functools.cached_property
    def observation_keys(self) -> tuple[str, ...] | None:
        """Keys of a Dict or Tuple observation in the order of concatenation; None for one array."""
        keys = tuple(part.key for part in self.observation if part.key is not None)
        return keys or None

    @property
    def observation_text(self) -> str:
        """Keys, shapes and dtypes of an observation on one line."""
        if self.observation_keys is None:
            return f"{self.observation[0].shape} {self.observation[0].dtype}"
        shown = [f"{part.key}: {part.shape} {part.dtype}" for part in self.observation[:_SHOWN]]
        more = len(self.observation) - _SHOWN
        return f"{{{', '.join(shown)}{f' and {more} more' if more > 0 else ''}}}"

    @functools.cached_property
    def stored_dtype(self) -> Literal["float32", "uint8"]:
        """Dtype in which a replay buffer stores flat observations: uint8 if every array is of uint8."""
        return "uint8" if all(part.dtype == "uint8" for part in self.observation) else "float32"

    # ---------------------------------------------------------------- selections

    def select(self, keys: Sequence[str], name: str) -> EnvSpaces:
        """Return the spaces with the arrays of some keys alone, in their order here.

        Args:
            keys: Keys of arrays, or of a Dict or Tuple that contains arrays: "state" also selects "state.pose".
            name: Name of the argument in error messages.

        Raises:
            UserError: The observation has no such key, or no keys at all.
        """
        if self.observation_keys is None:
            raise UserError(f"{name} needs an observation with keys (a Dict or Tuple space), and it is one array")
        for key in keys:
            if not any(_is_within(part.key, key) for part in self.observation):
                near = suggest(key, self.observation_keys) or f", expected some of {', '.join(self.observation_keys)}"
                raise UserError(f"{name} has the key {key!r}, which the observation does not have{near}")
        parts = tuple(part for part in self.observation if any(_is_within(part.key, key) for key in keys))
        return EnvSpaces(parts, self.action)

    def columns(self, selected: EnvSpaces) -> tuple[int, ...] | None:
        """Return the entries of a flat observation that a selection has; None if it has all of them, or other arrays.

        Args:
            selected: Result of ``select``, or spaces of a policy.
        """
        if selected.observation == self.observation or not set(selected.observation) < set(self.observation):
            return None
        ends = np.cumsum([part.size for part in self.observation]).tolist()
        places = {part: range(end - part.size, end) for part, end in zip(self.observation, ends, strict=True)}
        return tuple(column for part in selected.observation for column in places[part])

    # ---------------------------------------------------------------- observations

    def flatten(self, observation: Any) -> np.ndarray:
        """Return an environment's own observation as a new flat array, float32, without checking its shape.

        Raises:
            LookupError: A part of a Dict or Tuple observation is missing.
            ValueError: A number cannot be stored as uint8, which the space declares.
        """
        flat = self._join(observation)
        if (reason := self.unstorable(flat)) is not None:
            raise ValueError(f"the observation {reason}")
        return flat

    def unstorable(self, rows: np.ndarray) -> str | None:
        """Return why numbers of flat observations cannot be stored in ``stored_dtype``; None if they can."""
        if self.stored_dtype == "float32":
            return None
        with np.errstate(invalid="ignore"):
            lost = rows != rows.astype(np.uint8)
        return f"contains {rows[lost][0]:g}, expected whole numbers from 0 to 255 (uint8)" if lost.any() else None

    def _join(self, observation: Any) -> np.ndarray:
        if self.observation_keys is None:
            return np.array(observation, np.float32).reshape(-1)
        try:
            arrays = [part.of(observation) for part in self.observation]
        except (LookupError, TypeError) as error:
            try:
                self._find(observation, "the observation")
            except UserError as explained:
                raise LookupError(str(explained)) from error
            raise
        return np.concatenate([np.asarray(array, np.float32).reshape(-1) for array in arrays])

    def to_rows(self, observation: Any, name: str, *, batched: bool = False, advice: str = "") -> np.ndarray:
        """Validate an observation, or a batch of them, in their own shapes, and flatten them.

        Args:
            observation: One observation as the environment returns it: an array, or a mapping or tuple for a Dict or
                Tuple space, where parts that the space does not name are ignored. A batch has the same form with one
                more leading axis on every array. The flat array that a task's environment returns, [O] or [B, O], is
                accepted as well.
            name: Name of the argument in error messages.
            batched: Whether it is a batch.
            advice: End of the message about a batch in place of one observation.

        Returns:
            [B, O] float32; B is 1 without a batch.

        Raises:
            UserError: A part is missing, a shape differs, or a value is no number, not finite in float32, or not of
                uint8 where the space is.
        """
        if isinstance(observation, np.ndarray) and observation.shape[batched:] == (self.observation_size,):
            return self._validated(_as_float32(observation, name).reshape(-1, self.observation_size), name)
        found = [(part, where, _as_float32(value, where)) for part, where, value in self._find(observation, name)]
        leading = found[0][2].shape[:1] if batched else ()
        for part, where, array in found:
            if array.shape != (*leading, *part.shape) or len(leading) != batched:
                expected = f"({', '.join(['batch', *map(str, part.shape)])}{'' if part.shape else ','})"
                is_batch = not batched and array.shape[1:] == part.shape and array.ndim
                raise UserError(
                    f"{where} has shape {array.shape}, expected {expected if batched else part.shape}"
                    f"{advice if is_batch else ''}"
                )
        count = leading[0] if batched else 1
        return self._validated(np.concatenate([array.reshape(count, part.size) for part, _, array in found], 1), name)

    def _validated(self, rows: np.ndarray, name: str) -> np.ndarray:
        if not np.isfinite(rows).all():
            raise UserError(f"{name} contains NaN or a number that is infinite in float32")
        if (reason := self.unstorable(rows)) is not None:
            raise UserError(f"{name} {reason}")
        return rows

    def _find(self, observation: Any, name: str) -> list[tuple[ObservationPart, str, Any]]:
        """Return every part with its name in messages and its value.

        Raises:
            UserError: A part is missing.
        """
        found = []
        for part in self.observation:
            where, value = name, observation
            for depth, step in enumerate(part.path):
                if not _holds(value, step):
                    raise self._missing(value, part.path[:depth], where)
                where, value = f"{where}[{step!r}]", value[step]
            found.append((part, where, value))
        return found

    def _missing(self, value: Any, path: tuple[str | int, ...], where: str) -> UserError:
        """Return the error about what an observation has at the path of a Dict or Tuple."""
        steps = [part.path[len(path)] for part in self.observation if part.path[: len(path)] == path]
        keys = ", ".join(dict.fromkeys(step for step in steps if isinstance(step, str)))
        length = max((step for step in steps if isinstance(step, int)), default=-1) + 1
        if keys and isinstance(value, Mapping):
            return UserError(f"{where} has the keys {', '.join(map(str, value)) or 'none'}, expected {keys}")
        if not keys and isinstance(value, tuple | list):
            return UserError(f"{where} has {len(value)} member{'s' * (len(value) != 1)}, expected {length}")
        expected = f"a dict with the keys {keys}" if keys else f"a tuple of {length}"
        return UserError(f"{where} is {type(value).__name__}, expected {expected}")

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
            UserError: The data describe no supported spaces, or are None.
        """
        if data is None:
            raise UserError("spaces are missing: a run of an earlier revision has to be trained again")
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


def policy_view(trained: EnvSpaces, found: EnvSpaces, source: str, task: str) -> slice | np.ndarray:
    """Return the index of the entries of a flat observation that a policy receives.

    Args:
        trained: Spaces stored with the policy, which may lack keys that only critics received.
        found: Spaces of the environment it acts in.
        source: Name of the run or policy, for the error message.
        task: Name of the task, likewise.

    Raises:
        UserError: The policy was trained with other spaces.
    """
    columns = found.columns(trained)
    keys = trained.observation_keys
    if columns is None and keys is not None and set(keys) < set(found.observation_keys or ()):
        # The policy's keys are there; their arrays differ.
        require_same(trained, found.select(keys, "the policy"), source, task)
    if columns is None:
        require_same(trained, found, source, task)
        return slice(None)
    require_same(trained, EnvSpaces(trained.observation, found.action), source, task)
    return np.array(columns)


def _is_within(key: str | None, outer: str) -> bool:
    return key is not None and (key == outer or key.startswith(f"{outer}."))


def _as_float32(value: ArrayLike, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # an infinite observation is an error
        return as_numbers(value, name).astype(np.float32)


def _holds(value: Any, step: str | int) -> bool:
    """Return whether a value is a dict with this key, or a tuple with this index."""
    if isinstance(step, str):
        return isinstance(value, Mapping) and step in value
    return isinstance(value, tuple | list) and step < len(value)


def _listed(keys: tuple[str, ...] | None) -> str:
    return "none (one array)" if keys is None else ", ".join(keys)
