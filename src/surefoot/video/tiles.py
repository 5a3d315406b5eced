"""Captions and layout of several policies in one frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_MIN_TEXT_SIZE = 8


def grid_shape(rows: int, columns: int) -> tuple[int, int]:
    """Return the layout of `rows * columns` tiles: unchanged, or close to a square if either is 1."""
    if min(rows, columns) > 1:
        return rows, columns
    tiles = rows * columns
    across = math.ceil(math.sqrt(tiles))
    return math.ceil(tiles / across), across


def join(tiles: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Lay out tiles [H, W, 3] row by row; unused places are black."""
    rows, columns = shape
    height, width, _ = tiles[0].shape
    frame = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height, number % columns * width
        frame[top : top + height, left : left + width] = tile
    return frame


class Captions:
    """Renderer of captions on images fitted to a tile."""

    def __init__(self, width: int, height: int) -> None:
        """Prepare for tiles of `width` x `height` pixels."""
        self._width, self._height = width, height
        self._fonts: dict[int, Any] = {}

    def tile(self, frame: np.ndarray, lines: Sequence[str]) -> np.ndarray:
        """Return a tile [height, width, 3] uint8: `frame` scaled to fit, with lines of text in its corner."""
        from PIL import Image, ImageDraw

        image = Image.fromarray(frame)
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
        """Return the text height in pixels: 1/24 of the tile's, or less if the longest line requires it."""
        size = max(_MIN_TEXT_SIZE, self._height // 24)
        # Digits change between frames; measured as zeros, they do not change the text size.
        widest = max(
            draw.textlength("".join("0" if c.isdigit() else c for c in line), self._font(size)) for line in lines
        )
        room = 0.94 * self._width
        return size if widest <= room else max(_MIN_TEXT_SIZE, math.floor(size * room / widest))

    def _font(self, size: int) -> Any:
        from PIL import ImageFont

        if size not in self._fonts:
            self._fonts[size] = ImageFont.load_default(size)
        return self._fonts[size]
