"""Answers counted by context, with the discounts of modified Kneser-Ney; used by _back_off.py.

Chen and Goodman 1999, An empirical study of smoothing techniques for language modeling, doi 10.1006/csla.1999.0128.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FALLBACK = (0.5, 1.0, 1.5)  # discounts of a table whose counts are too few, or too even, to estimate them; those of KenLM


class Table:
    """Answers counted by context. A code is context * answers + answer; codes are sorted.

    codes, counts: each code once, and how often it counts. answers: how many different ones there can be.
    """

    def __init__(self, codes: Ints, counts: Ints, answers: int) -> None:
        self.codes, self.counts, self.answers = codes, counts, answers
        contexts = codes // answers
        first = _starts(contexts)
        self.contexts = contexts[first]
        self.discounts = np.array([0.0, *_discounts(counts)])
        self.totals = np.add.reduceat(counts, first)
        self.left_over = np.add.reduceat(self.discounts[np.minimum(counts, 3)], first)

    @classmethod
    def of(cls, codes: Ints, answers: int) -> Table:
        """The table of codes in any order, each of which counts as one."""
        ordered = np.sort(codes)
        first = _starts(ordered)
        return cls(ordered[first], np.diff(first, append=len(ordered)), answers)

    def probability(self, contexts: Ints, answer: Ints, lower: Floats) -> Floats:
        """Of each answer after its context; `lower` is its probability by what a context is backed off to.

        (count - discount(count) + sum of the context's discounts * lower) / total, and `lower` alone after a context that was not seen.
        """
        place, seen = _found(self.codes, contexts * self.answers + answer)
        count = np.where(seen, self.counts[place], 0)
        place, seen = _found(self.contexts, contexts)
        discounted = count - self.discounts[np.minimum(count, 3)] + self.left_over[place] * lower
        return np.where(seen, discounted / self.totals[place], lower)


def _discounts(counts: Ints) -> tuple[float, ...]:
    """What is taken from a count of one, of two, and of three or more."""
    once, twice, thrice, more = (int((counts == n).sum()) for n in (1, 2, 3, 4))
    if not (once and twice and thrice):
        return FALLBACK
    share = once / (once + 2 * twice)
    found = (1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * more / thrice)
    return found if all(0 < discount <= most for most, discount in enumerate(found, start=1)) else FALLBACK


def _starts(ordered: Ints) -> Ints:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def _found(ordered: Ints, sought: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where each value stands, and whether it is there."""
    place = np.minimum(np.searchsorted(ordered, sought), len(ordered) - 1)
    return place, ordered[place] == sought
