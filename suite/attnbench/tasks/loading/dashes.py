"""Dashes and discs on a small canvas, drawn with integers only: the same pixels on every machine.

Places are (y, x) in quarters of a pixel; directions are numbered 0 ... 47, each 7.5 degrees on from the one before. A set of pixels is
one integer, a bit a pixel, so that one operation compares a dash with all that is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Place = tuple[int, int]

SIDE = 32  # of the canvas, in pixels
UNIT = 4  # quarters in a pixel
DIRECTIONS = 48
REACH = 3  # pixels that a stroke extends to each side of the one where it begins
EDGE = 6  # pixels around the canvas, so that no stroke near it runs over into the next line of bits
STRIDE = SIDE + 2 * EDGE


def steps(length: int) -> list[Place]:
    """The step (dy, dx) of so many quarters in each direction, the same whatever the last digit of a machine's sine."""
    angles = [2 * math.pi * turn / DIRECTIONS for turn in range(DIRECTIONS)]
    longer = length * (1 + 1e-6)  # a half, as in 7 * sin(30 degrees), is rounded away from zero
    return [(round(longer * math.sin(angle)), round(longer * math.cos(angle))) for angle in angles]


@dataclass(frozen=True)
class Brush:
    """Draws strokes with round ends. length is of their middle line, radius half their width, in quarters; a disc has length 0."""

    length: int
    radius: int

    @cached_property
    def brightness(self) -> Ints:
        """Pixels of strokes, [direction, y, x, 7, 7] in 0 ... 255; y and x are where in the middle pixel they begin.

        A pixel is as bright as the share of its 16 sample points that the stroke covers.
        """
        side = 2 * REACH + 1
        begins, samples = 2 * np.arange(UNIT), 2 * np.arange(side * UNIT) + 1 - 2 * UNIT * REACH  # in eighths, samples between quarters
        offset = samples - begins[:, None]
        y, x = offset[:, None, :, None], offset[None, :, None, :]
        dy, dx = (2 * np.array(steps(self.length))[:, axis, None, None, None, None] for axis in (0, 1))
        square, along, across = dy * dy + dx * dx, y * dy + x * dx, y * dx - x * dy
        limit = (2 * self.radius) ** 2
        beside = (square > 0) & (along >= 0) & (along <= square) & (across * across <= limit * square)
        at_ends = np.minimum(y * y + x * x, (y - dy) ** 2 + (x - dx) ** 2) <= limit
        covered: Ints = (beside | at_ends).reshape(DIRECTIONS, UNIT, UNIT, side, UNIT, side, UNIT).sum((4, 6))
        return covered * 255 // UNIT**2

    @cached_property
    def _patterns(self) -> list[list[list[int]]]:
        lines = np.indices(self.brightness.shape[-2:])
        bits = np.array(1, dtype=object) << (STRIDE * lines[0] + lines[1]).astype(object)
        patterns: list[list[list[int]]] = ((self.brightness > 0) * bits).sum((-2, -1)).tolist()
        return patterns

    def touched(self, y: int, x: int, direction: int = 0) -> int:
        """The pixels that a stroke touches which begins on the canvas or up to two pixels outside."""
        shift = STRIDE * (y // UNIT + EDGE - REACH) + x // UNIT + EDGE - REACH
        return self._patterns[direction][y % UNIT][x % UNIT] << shift


def around(pixels: int) -> int:
    """Pixels with their eight neighbours."""
    pixels |= pixels << 1 | pixels >> 1
    return pixels | pixels << STRIDE | pixels >> STRIDE


def rim(width: int) -> int:
    """All pixels less than `width` pixels inside the canvas, those outside it included."""
    line = (1 << SIDE - 2 * width) - 1 << EDGE + width
    inside = sum(line << STRIDE * (EDGE + row) for row in range(width, SIDE - width))
    return (1 << STRIDE * STRIDE) - 1 ^ inside


def paint(images: int, layers: dict[Brush, list[tuple[int, int, int, int]]]) -> NDArray[np.uint8]:
    """Images [images, 32, 32] of strokes (image, y, x, direction), the brighter over the darker."""
    canvas = np.zeros((images, STRIDE, STRIDE), dtype=np.int64)
    for brush, strokes in layers.items():
        image, y, x, direction = np.array(strokes).T
        rows, columns = (np.arange(-REACH, REACH + 1) + (at // UNIT + EDGE)[:, None] for at in (y, x))
        pixels = brush.brightness[direction, y % UNIT, x % UNIT]
        np.maximum.at(canvas, (image[:, None, None], rows[:, :, None], columns[:, None, :]), pixels)
    return canvas[:, EDGE:-EDGE, EDGE:-EDGE].astype(np.uint8)
