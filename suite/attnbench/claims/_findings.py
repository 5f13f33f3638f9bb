"""Rules that several claims share: from a difference of two mechanisms, and a margin, to a verdict.

A difference is a mean over seeds and test items with its error (stats/crossed.py), Welch's over seeds; surely: at 5 %, one-sided.
"""

from __future__ import annotations

from attnbench.claim import Verdict
from attnbench.stats import Difference, detectable, exponent, non_inferior, power_non_inferior
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


def power_text(seeds: int, tasks: int = 1) -> str:
    """What so many seeds of two mechanisms can decide, in words. tasks: of a family, over which a mean is taken."""
    least = detectable(1.0, seeds)
    close, wide = (power_non_inferior(0.0, 1.0, sd, seeds, tasks=tasks) for sd in (0.5, 1.0))
    family = f" on average over {tasks} tasks" if tasks > 1 else ""
    return (
        f"{seeds} seeds tell two mechanisms apart on a task, four times in five, that truly differ by {least:.1f} times the standard "
        f"deviation between seeds. A mechanism that is truly equal{family} is found to be within the margin in {close:.0%} of cases where "
        f"its seeds spread by half a margin, and in {wide:.0%} where they spread by a whole one."
    )


def power_of_bound(runs: int) -> str:
    """What so many runs can decide on a bound that is to hold in all, in words."""
    return (
        f"One run beyond the bound decides. Of {runs} runs, one beyond it is surely seen only if it is frequent: of those that occur in "
        f"one of ten runs, {1 - 0.9**runs:.0%} are seen."
    )


def power_of_growth(lengths: int, processes: int, spread: float = 0.1) -> str:
    """How well an exponent is known from so many doubled lengths, in words. spread: between processes, relative."""
    sizes = [2.0**place for place in range(lengths)]
    found = exponent(sizes, sizes, [spread**2 / processes] * lengths)
    return (
        f"Where processes spread by {spread:.0%}, the exponent over {lengths} doubled lengths of {processes} processes is known to within "
        f"±{(found.high - found.low) / 2:.2f}, which tells linear from quadratic; a bend in the curve makes it wider."
    )


def power_of_agreement(seeds: int) -> str:
    """What so many seeds can decide that must all agree, in words."""
    return (
        f"All {seeds} seeds have to agree. What holds for half of all starts is called so by chance in {0.5**seeds:.1%} of cases, and what "
        f"holds for nine of ten is seen in {0.9**seeds:.0%}: an effect of some ten times is decided, one that depends on the start is not."
    )
