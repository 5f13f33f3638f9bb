"""Where labels of lines go, so that they cover neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

CROWD = 10


@dataclass(frozen=True)
class Box:
    """A label in pixels: its left edge, the middle of its height, its width."""

    left: float
    middle: float
    width: float

    def beside(self, other: Box) -> bool:
        """Whether the two share a stretch of the x axis."""
        return other.left < self.left + self.width and self.left < other.left + other.width


def place(boxes: Sequence[Box], height: float, low: float, high: float, points: Sequence[tuple[float, float]] = ()) -> list[float]:
    """The middle of every label, near its own, between low and high.

    Few labels keep clear of points too; a crowd keeps the order of its lines, which matters more there.
    """
    return _spread(boxes, height, low, high) if len(boxes) > CROWD else _avoid(boxes, height, low, high, points)


def _avoid(boxes: Sequence[Box], height: float, low: float, high: float, points: Sequence[tuple[float, float]]) -> list[float]:
    """From the lowest up, each label at the nearest free place; where it is when none is free."""
    placed: dict[int, float] = {}
    for i in sorted(range(len(boxes)), key=lambda i: (boxes[i].middle, i)):
        box = boxes[i]
        taken = [(placed[j], height) for j in placed if box.beside(boxes[j])]
        taken += [(middle, 0.7 * height) for x, middle in points if box.left < x < box.left + box.width + 4]
        candidates = [min(max(box.middle, low), high), *(b + room for b, room in taken), *(b - room for b, room in taken)]
        free = [c for c in candidates if low <= c <= high and all(abs(c - b) >= room - 1e-9 for b, room in taken)]
        placed[i] = min(free, key=lambda c: abs(c - box.middle)) if free else candidates[0]
    return [placed[i] for i in range(len(boxes))]


def _spread(boxes: Sequence[Box], height: float, low: float, high: float) -> list[float]:
    """Labels side by side as near to their lines as they can be without touching, in the order of their lines."""
    places = [0.0] * len(boxes)
    for group in _side_by_side(boxes):
        order = sorted(group, key=lambda i: (boxes[i].middle, i))
        for i, middle in zip(order, _apart([boxes[i].middle for i in order], height, low, high), strict=True):
            places[i] = middle
    return places


def _side_by_side(boxes: Sequence[Box]) -> list[list[int]]:
    """Labels in groups that share no stretch of the x axis with each other."""
    groups: list[list[int]] = []
    reach = -math.inf
    for i in sorted(range(len(boxes)), key=lambda i: boxes[i].left):
        if boxes[i].left >= reach:
            groups.append([])
        groups[-1].append(i)
        reach = max(reach, boxes[i].left + boxes[i].width)
    return groups


def _apart(middles: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Ascending places at least a height apart, of least squared distance to ascending middles; evenly where there is no room for all.

    Each place less its number in the order times the height must be no less than the one before, which makes the regression isotonic.
    """
    room = high - low - (len(middles) - 1) * height
    if room < 0:
        step = (high - low) / (len(middles) - 1)
        return [low + i * step for i in range(len(middles))]
    steps = height * np.arange(len(middles))
    shifts = isotonic_regression(np.array(middles) - steps).x
    return (shifts.clip(low, low + room) + steps).tolist()
