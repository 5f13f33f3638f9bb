"""Rules that several claims share: from a difference of two mechanisms, and a margin, to a verdict.

A difference is a mean over seeds and test items with its error (stats/crossed.py), Welch's over seeds; surely: at 5 %, one-sided.
"""

from __future__ import annotations

from attnbench.claim import Verdict
from attnbench.stats import Difference, non_inferior
from attnbench.stats.difference import LEVEL

_MATCHES: dict[str, Verdict] = {"non-inferior": "reproduced", "inferior": "not reproduced", "undecided": "inconclusive"}


def matches(difference: Difference, margin: float = 1.0) -> Verdict:
    """Whether a mechanism is as good as another: reproduced where it is surely behind by less than a margin, if at all."""
    return _MATCHES[non_inferior(difference, margin)]


def ahead(difference: Difference, margin: float = 1.0) -> Verdict:
    """Whether a mechanism is better than another.

    reproduced: surely, and by more than a margin; partly: surely, and not surely by a margin; not reproduced: surely by less than a margin,
    if at all.
    """
    if difference.p_above(margin) < LEVEL:
        return "reproduced"
    if difference.p_above(0.0) < LEVEL:
        return "partly"
    return "not reproduced" if difference.p_below(margin) < LEVEL else "inconclusive"


def differs(difference: Difference, margin: float = 1.0) -> Verdict:
    """Whether two are different, whichever is better; at 5 % for both sides together.

    reproduced: surely, and by more than a margin; partly: surely, and not surely by a margin; not reproduced: surely by less than a margin
    to either side.
    """
    if min(difference.p_above(margin), difference.p_below(-margin)) < LEVEL / 2:
        return "reproduced"
    if min(difference.p_above(0.0), difference.p_below(0.0)) < LEVEL / 2:
        return "partly"
    return "not reproduced" if max(difference.p_above(-margin), difference.p_below(margin)) < LEVEL else "inconclusive"


def told(what: str, difference: Difference, unit: str = "margins") -> str:
    """A difference in words, with its 95 % interval."""
    interval, digits = difference.interval(), 2 if unit == "margins" else 3
    return f"{what} {interval.value:+.{digits}f} [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}] {unit}"
