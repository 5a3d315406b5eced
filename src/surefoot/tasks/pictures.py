"""Pictures of environments as RGB images."""

from __future__ import annotations

from typing import Any

import numpy as np

_EXPECTED = "expected a picture [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] of numbers from 0 to 255, or from 0.0 to 1.0"


class Picture:
    """Conversion of the pictures of one environment to [H, W, 3] uint8.

    An alpha channel is dropped. Of several pictures, [N, H, W] with channels, the last one is taken. Floats are from 0
    to 1, or from 0 to 255 from the first picture on that exceeds 1.
    """

    def __init__(self) -> None:
        self._is_unit = True

    def __call__(self, picture: Any) -> np.ndarray:
        """Return a picture as a new array, [H, W, 3] uint8.

        Args:
            picture: Array or nested sequence [H, W], [H, W, C] or [N, H, W, C] with 1, 3 or 4 channels; booleans,
                integers from 0 to 255 or floats.

        Raises:
            ValueError: It is something else; the message says what.
        """
        if picture is None:
            raise ValueError(f"None, {_EXPECTED}")
        try:
            array = np.asarray(picture)
        except Exception as error:  # ragged lists, tensors of a device
            raise ValueError(f"{type(picture).__name__}, {_EXPECTED}") from error
        if array.ndim == 4 and len(array):
            array = array[-1]
        channels = array.shape[2] if array.ndim == 3 else 1 if array.ndim == 2 else 0
        if channels not in (1, 3, 4) or not array.size or array.dtype.kind not in "biuf":
            of = f"{array.dtype} {array.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
            raise ValueError(f"{of}, {_EXPECTED}")
        colours = self._levels(array.reshape(*array.shape[:2], channels)[:, :, :3])
        return np.repeat(colours, 3, axis=2) if channels == 1 else colours.copy()

    def _levels(self, colours: np.ndarray) -> np.ndarray:
        """Return colours from 0 to 255, [H, W, C] uint8."""
        if colours.dtype == np.uint8:
            return colours
        low, high = float(colours.min()), float(colours.max())
        if not (low >= 0.0 and high <= 255.0):  # NaN included
            raise ValueError(f"{colours.dtype} {colours.shape} with values from {low:g} to {high:g}, {_EXPECTED}")
        if colours.dtype.kind == "b":
            return colours.astype(np.uint8) * np.uint8(255)
        if colours.dtype.kind != "f":
            return colours.astype(np.uint8)
        self._is_unit = self._is_unit and high <= 1.0
        return np.rint(colours * 255.0 if self._is_unit else colours).astype(np.uint8)
