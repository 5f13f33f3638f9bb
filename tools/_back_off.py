"""A model of answers by the tokens near them: where these were not seen together, it backs off to the nearer ones; used by controls.py.

    window (0, -1, -2)      the answer at place i by tokens i, i-1 and i-2; else by i and i-1; else by i alone; else by how frequent it is
    window (-1, 1, -2, 2)   by two tokens on each side of it, the nearest first

What Kneser and Ney 1995 did with the words before is done with any sequence of offsets: the windows that a place can have are a tree, in
which each is backed off to the one without its last offset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from _kneser_ney import Floats, Ints, Table

Window = tuple[int, ...]
Sides = tuple[int, int]  # how many tokens before, its own among them if that may be looked at, and behind
LARGEST_CODE = 2**63


@dataclass(frozen=True)
class Places:
    """Places at which an answer is asked, or counted, in rows of tokens.

    tokens: [rows, seq_len]. known: of the same shape, False for a token that is hidden. row, column, answer: of each place.
    own: whether the token at a place may be looked at.
    """

    tokens: Ints
    known: NDArray[np.bool_]
    row: Ints
    column: Ints
    answer: Ints
    own: bool

    def __len__(self) -> int:
        return len(self.answer)

    def chosen(self, which: NDArray[np.bool_]) -> Places:
        """Some of the places."""
        return Places(self.tokens, self.known, self.row[which], self.column[which], self.answer[which], self.own)

    def window(self, sides: Sides) -> Window:
        """The offsets of so many tokens before and behind, the nearest first, and the one before first of two as near."""
        before, behind = sides
        first = 0 if self.own else 1
        return tuple(sorted([*range(1 - first - before, 1 - first), *range(1, behind + 1)], key=lambda offset: (abs(offset), offset)))

    def reach(self, window: Window) -> NDArray[np.bool_]:
        """Which places have a known token at each offset of a window."""
        found = np.ones(len(self), dtype=bool)
        for offset in window:
            at = self.column + offset
            inside = (at >= 0) & (at < self.tokens.shape[1])
            found &= inside & self.known[self.row, np.where(inside, at, 0)]
        return found

    def widest(self, most: Sides) -> Iterable[tuple[Window, NDArray[np.bool_]]]:
        """The widest windows that places reach, of at most so many tokens before and behind without a gap, each with its places."""
        before, behind = np.zeros(len(self), dtype=np.int64), np.zeros(len(self), dtype=np.int64)
        for size in range(1, most[0] + 1):
            before += self.reach(self.window((size, 0)))
        for size in range(1, most[1] + 1):
            behind += self.reach(self.window((0, size)))
        for sides in every(most):
            which = (before == sides[0]) & (behind == sides[1])
            if which.any():
                yield self.window(sides), which


def every(most: Sides) -> list[Sides]:
    """All numbers of tokens before and behind up to these."""
    return [(before, behind) for before in range(most[0] + 1) for behind in range(most[1] + 1)]


class BackOff:
    """The model, counted at the places of a training part, with windows of at most so many tokens before and behind.

    A table that a wider window is backed off to counts after how many different further tokens an answer was seen, not how often.
    """

    def __init__(self, training: Places, most: Sides, vocabulary: int, answers: int) -> None:
        self.vocabulary, self.answers = vocabulary, answers
        self.tables: dict[Window, Table] = {}
        self.seen_from: dict[Window, Table] = {}  # of the window without the last offset, as this one is backed off to it
        self.answered = np.unique(training.answer).tolist()
        for window in sorted({training.window(sides) for sides in every(most)}, key=len):
            reached = training.chosen(training.reach(window))
            if len(reached):
                table = self.tables[window] = Table.of(self._contexts(reached, window) * answers + reached.answer, answers)
                if window:
                    self.seen_from[window] = Table.of(table.codes % (vocabulary ** (len(window) - 1) * answers), answers)

    def probability(self, places: Places, most: Sides) -> Floats:
        """Of the answer of each place, by the widest window that it reaches."""
        found = np.empty(len(places))
        for window, which in places.widest(most):
            found[which] = self._probability(places.chosen(which), window)
        return found

    def best(self, places: Places, most: Sides) -> Ints:
        """The most probable answer of each place, of those that the training part has; the smallest of several."""
        best = np.zeros(len(places), dtype=np.int64)
        for window, which in places.widest(most):
            some = places.chosen(which)
            highest, of_some = np.zeros(len(some)), np.zeros(len(some), dtype=np.int64)
            for answer in self.answered:
                found = self._probability(some, window, answer)
                of_some = np.where(found > highest, answer, of_some)
                highest = np.maximum(found, highest)
            best[which] = of_some
        return best

    def _probability(self, places: Places, window: Window, answer: int | None = None) -> Floats:
        while window not in self.tables:  # no place of the training part reaches it
            window = window[:-1]
        answers = places.answer if answer is None else np.full(len(places), answer)
        found = np.full(len(places), 1 / self.answers)
        for nearer, wider in pairwise(window[:size] for size in range(len(window) + 1)):
            found = self.seen_from[wider].probability(self._contexts(places, nearer), answers, found)
        return self.tables[window].probability(self._contexts(places, window), answers, found)

    def _contexts(self, places: Places, window: Window) -> Ints:
        """Each place's tokens of a window as one number, in which the nearest is the last digit."""
        code = np.zeros(len(places), dtype=np.int64)
        for i, offset in enumerate(window):
            code += places.tokens[places.row, places.column + offset] * self.vocabulary**i
        return code
