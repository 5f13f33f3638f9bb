"""Where labels of lines go, so that they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CROWD = 10
ROUNDS = 200


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
    """Labels side by side push each other apart, evenly, in the order of their lines."""
    order = sorted(range(len(boxes)), key=lambda i: (boxes[i].middle, i))
    places = [boxes[i].middle for i in order]
    pairs = [(a, b) for b in range(len(order)) for a in range(b) if boxes[order[a]].beside(boxes[order[b]])]
    for _ in range(ROUNDS):
        for a, b in pairs:
            overlap = height - (places[b] - places[a])
            if overlap > 0:
                places[a] -= overlap / 2
                places[b] += overlap / 2
        places = [min(max(p, low), high) for p in places]
    # What the rounds have left too near is moved up from the lowest, then down from the highest: apart wherever there is room for all.
    for b in range(len(order)):
        places[b] = max([places[b], *(places[a] + height for a, above in pairs if above == b)])
    for a in reversed(range(len(order))):
        places[a] = min([places[a], high, *(places[b] - height for below, b in pairs if below == a)])
    return [places[order.index(i)] for i in range(len(boxes))]
