"""Actions of an environment and their mapping to [-1, 1]."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from surefoot.spaces.validation import UnsupportedSpace, invalid, read_dtype, read_shape, require_fields

DTYPES = ("float16", "float32", "float64")


@dataclass(frozen=True)
class ActionSpec:
    """Shape, dtype and bounds of an environment's actions, and their mapping to [-1, 1].

    Attributes:
        shape: Shape of an action.
        dtype: "float16", "float32" or "float64".
        low: Lower bounds [A], in C order, exactly representable in the dtype.
        high: Upper bounds [A], likewise.

    Raises:
        UnsupportedSpace: There are no entries, the dtype is another one, or a range is infinite or empty.
    """

    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Validate dtype and bounds."""
        if self.dtype not in DTYPES or not self.low:
            what = f"dtype {self.dtype}" if self.low else "no entries"
            raise UnsupportedSpace("action-space", f"actions with {what}, expected {', '.join(DTYPES)}")
        if not len(self.low) == len(self.high) == math.prod(self.shape):
            raise UnsupportedSpace(
                "action-space", f"{len(self.low)} lower and {len(self.high)} upper bounds for actions of {self.shape}"
            )
        low, high = (np.array(bound, np.float64) for bound in (self.low, self.high))
        narrow = "float16" if self.dtype == "float16" else "float32"  # scaling in float64 ends where float32 does
        with np.errstate(over="ignore", invalid="ignore"):
            span = high - low
            half = 0.5 * span.astype(self._calculation)
            supported = (span > 0.0) & (span < float(np.finfo(narrow).max)) & (half > 0.0)  # False for NaN
        if not supported.all():
            entry = int(np.argmin(supported))
            raise UnsupportedSpace(
                "action-bounds",
                f"action entry {entry} lies between {low[entry]:g} and {high[entry]:g}, expected finite bounds, the "
                f"lower below the upper, with a difference within the range of {narrow}",
            )

    @property
    def size(self) -> int:
        """A, the number of entries of an action."""
        return len(self.low)

    @functools.cached_property
    def low_array(self) -> np.ndarray:
        """Lower bounds in the action's shape and dtype."""
        return np.array(self.low, self.dtype).reshape(self.shape)

    @functools.cached_property
    def high_array(self) -> np.ndarray:
        """Upper bounds in the action's shape and dtype."""
        return np.array(self.high, self.dtype).reshape(self.shape)

    def from_unit(self, unit: np.ndarray) -> np.ndarray:
        """Return actions in the environment's own units, shape and dtype, within its bounds.

        Where every bound is -1 or 1, entries only change their dtype.

        Args:
            unit: [..., A] in [-1, 1].

        Returns:
            A new array, [..., *shape].
        """
        unit = np.asarray(unit, self._calculation)
        low, high = self._bounds
        scaled = unit if self._is_unit_range else low + (unit + 1.0) * self._half_range
        # Rounding may carry an action of exactly 1 past the bound.
        bounded = np.minimum(np.maximum(scaled, low), high)
        return bounded.astype(self.dtype, copy=False).reshape((*unit.shape[:-1], *self.shape))

    def to_unit(self, actions: np.ndarray) -> np.ndarray:
        """Return actions [..., A] in the environment's own units as float32 in [-1, 1]; the inverse of ``from_unit``.

        Entries outside the bounds become -1 or 1; see ``outside``.
        """
        actions = actions.astype(self._calculation)
        unit = actions if self._is_unit_range else (actions - self._bounds[0]) / self._half_range - 1.0
        return np.clip(unit, -1.0, 1.0).astype(np.float32)

    def outside(self, actions: np.ndarray, tolerance: float) -> np.ndarray:
        """Return for actions [..., A] whether each entry is NaN or beyond a bound.

        Args:
            actions: Actions in the environment's own units.
            tolerance: Distance beyond a bound that counts as rounding, in units of half the action range.
        """
        slack, (low, high) = tolerance * self._half_range, self._bounds
        return ~((actions >= low - slack) & (actions <= high + slack))

    def difference(self, other: ActionSpec) -> tuple[str, str, str] | None:
        """Return the first property that differs, its value here and its value there; None if the actions are equal."""
        for name in ("shape", "dtype"):
            if getattr(self, name) != getattr(other, name):
                return f"action {name}", str(getattr(self, name)), str(getattr(other, name))
        for name in ("low", "high"):
            for entry, pair in enumerate(zip(getattr(self, name), getattr(other, name), strict=True)):
                if pair[0] != pair[1]:
                    return f"action {name}[{entry}]", f"{pair[0]!r}", f"{pair[1]!r}"
        return None

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Return the actions that JSON values describe.

        Raises:
            UserError: They describe no supported actions.
        """
        require_fields(data, {"shape", "dtype", "low", "high"}, "spaces.action")
        shape, dtype = read_shape(data["shape"]), read_dtype(data["dtype"])
        return cls(shape, dtype, _read_bounds(data["low"], dtype), _read_bounds(data["high"], dtype))

    @property
    def _calculation(self) -> type[np.floating[Any]]:
        """Precision of the mapping: float32 cannot hold every bound of a float64 space."""
        return np.float64 if self.dtype == "float64" else np.float32

    @functools.cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.low, self._calculation), np.array(self.high, self._calculation)

    @functools.cached_property
    def _half_range(self) -> np.ndarray:
        low, high = self._bounds
        return 0.5 * (high - low)

    @functools.cached_property
    def _is_unit_range(self) -> bool:
        return set(self.low) == {-1.0} and set(self.high) == {1.0}


def _read_bounds(value: Any, dtype: str) -> tuple[float, ...]:
    """Return action bounds, which files store exactly."""
    if dtype not in DTYPES:
        raise invalid("action dtype", dtype, ", ".join(DTYPES))
    if not isinstance(value, list | tuple) or not all(type(bound) in (int, float) for bound in value):
        raise invalid("action bounds", value, "a list of numbers")
    try:
        with np.errstate(over="ignore"):
            exact = np.array(value, np.float64).astype(dtype)
    except OverflowError:
        exact = np.array([math.inf])
    if not np.isfinite(exact).all() or exact.tolist() != list(value):
        raise invalid("action bounds", value, f"finite numbers of {dtype}")
    return tuple(exact.tolist())
