"""Conversion of observations and actions between the user's spaces and flat arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Tuple

from surefoot.errors import UserError
from surefoot.spaces import ObservationPart
from surefoot.spaces.validation import as_numbers
from surefoot.tasks.spaces import describe_spaces

_TOLERANCE = 1e-5
"""Tolerance for rounding of actions beyond their bounds, in units of half the action range."""


class Spaces:
    """Gymnasium spaces of an agent; the learner uses float32 vectors and actions in [-1, 1].

    Args:
        observation: A bounded or unbounded Box, or a Dict or Tuple of such, concatenated in the order of
            `describe_spaces`.
        action: A Box of real numbers with finite bounds.
        task: Task name for error messages.

    Attributes:
        observation: Observation space.
        action: Action space.
        described: Their shapes, dtypes, keys and bounds.

    Raises:
        UserError: A space is not supported.
    """

    def __init__(self, observation: gymnasium.Space[Any], action: gymnasium.Space[Any], task: str = "own-loop") -> None:
        self.observation, self.action = observation, action
        self.described = describe_spaces(observation, action, task)

    def to_flat(self, observation: Any, name: str) -> np.ndarray:
        """Return an observation as a new finite [O] float32 array; ``name`` is used in error messages."""
        return self.described.to_rows(observation, name)[0]

    def to_action(self, unit: np.ndarray) -> np.ndarray:
        """Return a [A] action in [-1, 1] in the action space's own units, shape and dtype, within its bounds."""
        return self.described.action.from_unit(unit)

    def to_unit(self, action: Any) -> np.ndarray:
        """Return an action in the action space's own units as [A] float32 in [-1, 1]."""
        spec, array = self.described.action, as_numbers(action, "action")
        if array.shape != spec.shape:
            raise UserError(f"action has shape {array.shape}, expected {spec.shape}")
        flat = array.astype(np.float64).reshape(-1)
        outside = spec.outside(flat, _TOLERANCE)
        if outside.any():
            i = int(np.argmax(outside))
            raise UserError(
                f"action is {flat[i]:g} at entry {i}, expected a number within [{spec.low[i]:g}, {spec.high[i]:g}]: "
                "observe the action that was carried out"
            )
        return spec.to_unit(flat)

    # ---------------------------------------------------------------- storage

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the bounds of every Box in order, the action's last."""
        boxes = [*_boxes(self.observation), self.action]
        return {f"{end}_{i}": getattr(box, end) for i, box in enumerate(boxes) for end in ("low", "high")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], keys: list[str] | None, task: str) -> Spaces:
        """Return the spaces described by ``to_arrays`` and ``observation_keys``.

        Raises:
            UserError: The arrays do not describe spaces.
        """
        try:
            lows = [arrays[f"low_{i}"] for i in range(len(arrays) // 2)]
            highs = [arrays[f"high_{i}"] for i in range(len(arrays) // 2)]
            boxes = [Box(low, high, dtype=low.dtype.type) for low, high in zip(lows, highs, strict=True)]
            if len(boxes) != (2 if keys is None else len(keys) + 1):
                raise ValueError(f"{len(boxes)} boxes for the observation keys {keys}")
            paths = [()] if keys is None else [ObservationPart(key, (), "").path for key in keys]
            observation = _nested(paths, boxes[:-1])
        except (KeyError, IndexError, ValueError, TypeError, AssertionError) as error:
            raise UserError(f"invalid spaces in the saved agent: {error}") from error
        return cls(observation, boxes[-1], task)


def _boxes(space: gymnasium.Space[Any]) -> Iterator[gymnasium.Space[Any]]:
    if isinstance(space, Dict | Tuple):
        for member in space.spaces.values() if isinstance(space, Dict) else space.spaces:
            yield from _boxes(member)
    else:
        yield space


def _nested(paths: Sequence[tuple[str | int, ...]], boxes: Sequence[gymnasium.Space[Any]]) -> gymnasium.Space[Any]:
    """Return the space that has these Boxes at these paths."""
    if list(paths) == [()]:
        return boxes[0]
    groups: dict[str | int, tuple[list[tuple[str | int, ...]], list[gymnasium.Space[Any]]]] = {}
    for path, box in zip(paths, boxes, strict=True):
        inner, own = groups.setdefault(path[0], ([], []))
        inner.append(path[1:])
        own.append(box)
    members = {step: _nested(*group) for step, group in groups.items()}
    if list(members) == list(range(len(members))):
        return Tuple(members.values())
    named = [(step, member) for step, member in members.items() if isinstance(step, str)]
    if len(named) != len(members):
        raise ValueError(f"the observation keys {list(members)}")
    return Dict(named)
