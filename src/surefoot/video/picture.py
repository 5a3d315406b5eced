"""Frames put together: captions, and several policies side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_SMALLEST_TEXT = 8


def grid_shape(rows: int, columns: int) -> tuple[int, int]:
    """Return (rows, columns) to lay `rows * columns` tiles out in: as they are, or, where one is 1, near a square."""
    if min(rows, columns) > 1:
        return rows, columns
    tiles = rows * columns
    across = math.ceil(math.sqrt(tiles))
    return math.ceil(tiles / across), across


def join(tiles: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Lay tiles [H, W, 3] out in rows and columns, row by row; places that are left over stay black."""
    rows, columns = shape
    height, width, _ = tiles[0].shape
    frame = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height, number % columns * width
        frame[top : top + height, left : left + width] = tile
    return frame


class Captions:
    """Fits pictures to a tile and writes on them."""

    def __init__(self, width: int, height: int) -> None:
        """Prepare for tiles of `width` x `height` pixels."""
        self._width, self._height = width, height
        self._fonts: dict[int, Any] = {}

    def tile(self, picture: np.ndarray, lines: Sequence[str]) -> np.ndarray:
        """Return the tile [height, width, 3] uint8: the whole picture, as large as fits, and lines in its corner."""
        from PIL import Image, ImageDraw

        image = Image.fromarray(picture)
        if image.size != (self._width, self._height):
            scale = min(self._width / image.width, self._height / image.height)
            fitted = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
            image = Image.new("RGB", (self._width, self._height))
            image.paste(fitted, ((self._width - fitted.width) // 2, (self._height - fitted.height) // 2))
        draw = ImageDraw.Draw(image)
        size, left = self._text_size(draw, lines), round(0.02 * self._width)
        for number, line in enumerate(lines):
            at = (left, left + number * round(1.3 * size))
            draw.text(
                at, line, fill="white", font=self._font(size), stroke_width=max(1, size // 10), stroke_fill="black"
            )
        return np.asarray(image)

    def _text_size(self, draw: Any, lines: Sequence[str]) -> int:
        """Return the text's height in pixels: a 24th of the tile's, or what the longest line leaves."""
        size = max(_SMALLEST_TEXT, self._height // 24)
        # Digits change from frame to frame, and the text shall not change its size with them.
        widest = max(
            draw.textlength("".join("0" if c.isdigit() else c for c in line), self._font(size)) for line in lines
        )
        room = 0.94 * self._width
        return size if widest <= room else max(_SMALLEST_TEXT, math.floor(size * room / widest))

    def _font(self, size: int) -> Any:
        from PIL import ImageFont

        if size not in self._fonts:
            self._fonts[size] = ImageFont.load_default(size)
        return self._fonts[size]
