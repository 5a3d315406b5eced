"""Conversion of observations and actions between the user's spaces and flat arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from surefoot.errors import UserError
from surefoot.tasks.wrappers import action_bounds, flatten_observations


class Spaces:
    """Observation and action space of an agent; the learner uses float32 vectors and actions in [-1, 1].

    Args:
        observation: A bounded or unbounded Box, or a Dict of such Boxes, which are concatenated in the Dict's order.
        action: A Box of real numbers with finite bounds.
        task: Task name for error messages.

    Attributes:
        observation_size: Size O of a flat observation.
        observation_keys: Keys of a Dict observation in order, None for a Box.
        action_low: [A] float32, lower bounds.
        action_high: [A] float32, upper bounds.

    Raises:
        UserError: A space is not supported.
    """

    def __init__(self, observation: gymnasium.Space[Any], action: gymnasium.Space[Any], task: str = "own-loop") -> None:
        self.observation, self.action = observation, action
        self.observation_size, self._flatten = flatten_observations(observation, task)
        if self.observation_size == 0:
            raise UserError(f"task '{task}' has an observation space without entries, expected at least one number")
        self.action_low, self.action_high = action_bounds(action, task)
        self._half_range = 0.5 * (self.action_high - self.action_low)
        # Actions of a [-1, 1] space are passed on unchanged, bit for bit.
        self._is_unit_range = bool((self.action_low == -1.0).all() and (self.action_high == 1.0).all())
        parts = observation.spaces if isinstance(observation, gymnasium.spaces.Dict) else None
        self.observation_keys = tuple(parts) if parts is not None else None
        self._shapes: dict[str, tuple[int, ...]] = {key: _shape(part) for key, part in (parts or {}).items()}

    def to_flat(self, observation: Any, name: str) -> np.ndarray:
        """Return an observation as a new finite [O] float32 array; ``name`` is used in error messages."""
        if self.observation_keys is None:
            _check_shape(observation, _shape(self.observation), name)
        else:
            if not isinstance(observation, Mapping) or set(observation) != set(self.observation_keys):
                got = f"the keys {', '.join(map(str, observation))}" if isinstance(observation, Mapping) else "no dict"
                raise UserError(f"{name} has {got}, expected a dict with the keys {', '.join(self.observation_keys)}")
            for key, shape in self._shapes.items():
                _check_shape(observation[key], shape, f"{name}[{key!r}]")
        try:
            with np.errstate(over="ignore"):  # infinity is rejected below
                flat = self._flatten(observation)
        except (TypeError, ValueError) as error:
            raise UserError(f"{name} is not made of numbers: {error}") from error
        if not np.isfinite(flat).all():
            raise UserError(f"{name} holds NaN or a number that is infinite in float32")
        return flat

    def to_action(self, unit: np.ndarray) -> np.ndarray:
        """Return a [A] action in [-1, 1] in the action space's own units, shape and dtype, within its bounds."""
        scaled = unit if self._is_unit_range else self.action_low + (unit + np.float32(1)) * self._half_range
        return self.from_flat(scaled)

    def from_flat(self, action: np.ndarray) -> np.ndarray:
        """Return a flat [A] action, given in the action space's own units, in its shape, dtype and bounds."""
        box = self.action
        assert isinstance(box, gymnasium.spaces.Box), "action_bounds accepts only a Box"
        # In the space's own dtype: rounding can move an action of exactly 1 past the bound.
        return np.clip(action.reshape(box.shape).astype(box.dtype), box.low, box.high)

    def to_unit(self, action: Any) -> np.ndarray:
        """Return an action in the action space's own units as [A] float32 in [-1, 1]."""
        _check_shape(action, _shape(self.action), "action")
        try:
            flat = np.array(action, np.float32).reshape(-1)
        except (TypeError, ValueError) as error:
            raise UserError(f"action is not made of numbers: {error}") from error
        # Rounding may move an action past its bound. NaN compares false, so it counts as outside.
        slack = 1e-5 * self._half_range
        outside = ~((flat >= self.action_low - slack) & (flat <= self.action_high + slack))
        if outside.any():
            i = int(np.argmax(outside))
            raise UserError(
                f"action is {flat[i]:g} at entry {i}, expected a number within "
                f"[{self.action_low[i]:g}, {self.action_high[i]:g}]: observe the action that was carried out"
            )
        unit = flat if self._is_unit_range else (flat - self.action_low) / self._half_range - np.float32(1)
        return np.clip(unit, -1.0, 1.0)

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
            boxes = [
                gymnasium.spaces.Box(low, high, dtype=low.dtype.type) for low, high in zip(lows, highs, strict=True)
            ]
            if len(boxes) != (2 if keys is None else len(keys) + 1):
                raise ValueError(f"{len(boxes)} boxes for the observation keys {keys}")
            parts = boxes[:-1]
            observation = parts[0] if keys is None else gymnasium.spaces.Dict(list(zip(keys, parts, strict=True)))
        except (KeyError, ValueError, TypeError, AssertionError) as error:
            raise UserError(f"invalid spaces in the saved agent: {error}") from error
        return cls(observation, boxes[-1], task)


def _boxes(space: gymnasium.Space[Any]) -> list[gymnasium.Space[Any]]:
    return list(space.spaces.values()) if isinstance(space, gymnasium.spaces.Dict) else [space]


def _shape(space: gymnasium.Space[Any]) -> tuple[int, ...]:
    assert space.shape is not None, "a Box has a shape"
    return space.shape


def _check_shape(value: Any, expected: tuple[int, ...], name: str) -> None:
    try:
        shape = np.shape(value)
    except ValueError:
        raise UserError(f"{name} is ragged, expected numbers of shape {expected}") from None
    if shape != expected:
        raise UserError(f"{name} has shape {shape}, expected {expected}")
