"""Places the labels of lines so that they cover neither each other nor the points."""

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
        """Whether the two overlap on the x axis."""
        return other.left < self.left + self.width and self.left < other.left + other.width


def place(boxes: Sequence[Box], height: float, low: float, high: float, points: Sequence[tuple[float, float]] = ()) -> list[float]:
    """The new middle of every label, near its old one, between low and high.

    Few labels avoid the points too. Many labels are kept in the order of their lines instead, which matters more there.
    """
    return _spread(boxes, height, low, high) if len(boxes) > CROWD else _avoid(boxes, height, low, high, points)


def _avoid(boxes: Sequence[Box], height: float, low: float, high: float, points: Sequence[tuple[float, float]]) -> list[float]:
    """The middles when each label, from the lowest up, takes the nearest free place; it stays where it is if none is free."""
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
    """The middles of labels as near to their lines as possible without touching, in the order of their lines."""
    places = [0.0] * len(boxes)
    for group in _side_by_side(boxes):
        order = sorted(group, key=lambda i: (boxes[i].middle, i))
        for i, middle in zip(order, _apart([boxes[i].middle for i in order], height, low, high), strict=True):
            places[i] = middle
    return places


def _side_by_side(boxes: Sequence[Box]) -> list[list[int]]:
    """Groups of labels, by index, that do not overlap each other on the x axis."""
    groups: list[list[int]] = []
    reach = -math.inf
    for i in sorted(range(len(boxes)), key=lambda i: boxes[i].left):
        if boxes[i].left >= reach:
            groups.append([])
        groups[-1].append(i)
        reach = max(reach, boxes[i].left + boxes[i].width)
    return groups


def _apart(middles: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Ascending places at least a height apart, with the least squared distance to `middles`; evenly spaced where there is no room.

    Subtract i * height from the i-th place: the differences must not descend, so that isotonic regression finds them.
    """
    room = high - low - (len(middles) - 1) * height
    if room < 0:
        step = (high - low) / (len(middles) - 1)
        return [low + i * step for i in range(len(middles))]
    steps = height * np.arange(len(middles))
    shifts = isotonic_regression(np.array(middles) - steps).x
    return (shifts.clip(low, low + room) + steps).tolist()
