"""What so many seeds can decide by each kind of rule, in words: of a difference against a margin, of a bound, a growth, an agreement.

The numbers are those of stats/power.py, for what a text supposes; tests hold them to the rules by simulation. Of several comparisons
together two are told: one for what they are supposed to share, and the least, for which their misses are added up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attnbench.stats import (  # fmt: skip
    Design,
    Region,
    distance_of_agreement,
    least_distance,
    least_truth,
    power,
    power_of_exponent,
    surely_above,
    surely_close,
)
from attnbench.stats.difference import LEVEL

Finding = tuple[Region, float]  # what is found, and the true difference by which it is
NOT_BEHIND: Finding = (surely_above(-1.0), 0.0)  # by a margin, of equal ones; as often "behind" is found of what is behind by two margins
AHEAD: Finding = (surely_above(1.0), 2.0)
NOT_AHEAD: Finding = (surely_close(1.0, sides=1), 0.0)
DIFFERS: Finding = (surely_above(1.0, LEVEL / 2), 2.0)
ALIKE: Finding = (surely_close(1.0, sides=2), 0.0)
KEPT: Finding = (surely_above(0.0), 1.0)  # in units of what may be lost; as often "lost" is found of what loses twice that

CASES = ((0.5, 0.0), (0.5, 0.5), (1.0, 0.5))  # how far seeds spread, and what test items add to the error of a difference, in margins
BY_SEEDS = ((0.5, 0.0), (1.0, 0.0))  # for a rule that sees no test items
SPREAD = (
    "Suppose that seeds spread by, and test items add to the error of a difference, (a) half a margin and nothing, (b) half a margin each, "
    "(c) a margin and half of one (standard deviations)."
)
MOST = 0.99  # of a power that is told: what is supposed never holds so well that more could be said
APART = "Settings that are judged apart, such as budgets, have this power each, and their misses add up."
ANYHOW = "however they depend on one another"
SHARING = "what they are compared with is all that they share"


def power_of_matches(seeds: int, families: Sequence[int], mechanisms: int = 1) -> str:
    """That of a claim that mechanisms are as good as another, by _findings.matches. families: of each how many tasks it has."""
    one = [power(*NOT_BEHIND, design) for design in _designs(seeds, CASES, min(families))]
    supposed = " and ".join(["families are independent"] * (len(families) > 1) + [SHARING] * (mechanisms > 1))
    return (
        f"{seeds} seeds of each. {SPREAD} A mechanism that is truly equal {_on(families)} is found to be behind by less than a margin, if "
        f"at all, in {_told(one)} of cases; one that is truly behind by two margins is found behind by more as often."
        f"{_together(NOT_BEHIND, seeds, families, mechanisms, mechanisms, supposed)} {APART}"
    )


def power_of_differs(seeds: int, families: Sequence[int], mechanisms: int) -> str:
    """That of a claim that each of some mechanisms differs from one of its own, by _findings.differs. families: see power_of_matches."""
    apart, alike = ([power(*of, design) for design in _designs(seeds, CASES, min(families))] for of in (DIFFERS, ALIKE))
    supposed = "they are independent"
    return (
        f"{seeds} seeds of each. {SPREAD} Two that truly differ by two margins {_on(families)} are found to differ by more than one in "
        f"{_told(apart)} of cases.{_together(DIFFERS, seeds, families, mechanisms, 1, supposed)} Two that are truly equal are found to "
        f"differ by less (not reproduced) in {_told(alike)}.{_together(ALIKE, seeds, families, mechanisms, 1, supposed)} {APART}"
    )


def power_of_ahead(seeds: int, others: int) -> str:
    """That of a claim that a mechanism is better than each of some others, on one task, by _findings.ahead."""
    whole = [_together(of, seeds, [1], others, others, SHARING) for of in (AHEAD, NOT_AHEAD)]
    return f"{seeds} seeds of each. {SPREAD} {_ahead(_designs(seeds, CASES), *whole)} {APART}"


def power_of_ahead_by_seeds(seeds: int, places: int) -> str:
    """That of a claim that a mechanism is better than another at each of some places of the same runs, by _findings.ahead without items."""
    designs = _designs(seeds, BY_SEEDS)
    least = [[_least(*[power(*of, design)] * places) for design in designs] for of in (AHEAD, NOT_AHEAD)]
    whole = [f" {_all(places)} comparisons, which are of the same runs, are in at least {_floored(of)} {ANYHOW}." for of in least]
    return (
        f"{seeds} seeds of each. Suppose that seeds spread by (a) half a margin, (b) a margin (standard deviation); test items are no part "
        f"of the error here. {_ahead(designs, *whole)} {APART}"
    )


def power_of_share(seeds: int, kept: float, depths: int) -> str:
    """That of a claim that a mechanism keeps a share of what another learns at each of some depths, and a third not at the deepest."""
    unit = 1 - kept
    lost = f"{1 - 2 * unit:.0%}"
    one = [power(*KEPT, design) for design in _designs(seeds, CASES, share=kept)]
    likely, least = [of ** (depths + 1) for of in one], [_least(*[of] * (depths + 1)) for of in one]
    refuted, refuted_least = [(of * (1 - LEVEL)) ** depths for of in one], [_least(*[of - LEVEL] * depths) for of in one]
    return (
        f"{seeds} seeds of each. Of what the residual model learns, suppose that seeds spread by, and test items add to the error of a "
        f"difference, (a) {unit / 2:.0%} and nothing, (b) {unit / 2:.0%} each, (c) {unit:.0%} and {unit / 2:.0%} (standard deviations). A "
        f"skipless model that truly learns as much is surely found above {kept:.0%} at one depth in {_told(one)} of cases, and one that "
        f"learns {lost} surely below as often. Orthogonal above at {depths} depths and softmax below at the deepest are found together in "
        f"{_told(likely)} if they are independent, in at least {_floored(least)} {ANYHOW}. Where both learn {lost} at {depths} depths, "
        f"that is found (not reproduced) in {_told(refuted)} if depths are independent, in at least {_floored(refuted_least)} {ANYHOW}. "
        f"{APART}"
    )


def power_of_bound(runs: Mapping[str, int], often: int = 10) -> str:
    """That of a bound which one number beyond it refutes. runs: of each part of the claim the fewest that its rule takes."""
    seen = [1 - (1 - 1 / often) ** count for count in runs.values()]
    return (
        "A single run beyond the bound refutes its part of the claim, and one in each part all of it. Of the fewest runs that the rule "
        f"takes, {' and '.join(f'{count} {part}' for part, count in runs.items())}, an excess that occurs in one of {often} runs, "
        f"independently, is seen in {' and '.join(map(_percent, seen))} of cases: in a part at least in "
        f"{_percent(1 - math.prod(1 - of for of in seen))}, in each in {_percent(math.prod(seen))}."
    )


def power_of_within(seeds: int, mechanisms: int, tasks: int) -> str:
    """That of a bound that holds for a mechanism on a task if it does in every seed, and fails if in none, by _norms.within."""
    mostly, often = ([_percent(of**count) for count in (seeds, seeds * mechanisms * tasks)] for of in (0.99, 0.9))
    return (
        f"All {seeds} runs of a mechanism on a task have to be within the bound, or all beyond: a single other one leaves it open. If each "
        f"run, independently, is within in 99% of cases, the bound is found to hold for one mechanism on one task in {mostly[0]}, and for "
        f"{mechanisms} mechanisms on {tasks} tasks, the fewest, in {mostly[1]}; if each is in 90%, in {often[0]} and {often[1]}. If each "
        f"is beyond it so often, it is found to fail (not reproduced) in as many. {APART}"
    )


def power_of_growth(
    cost: str, sizes: Sequence[float], between: float, away: float, exponents: int, errors: Mapping[float, float], is_known: bool
) -> str:
    """That of growth exponents that have to lie on their side of a bound, by stats.exponent.

    cost: what grows, and what spreads about it. sizes: the lengths, each the same multiple of the last. between: the bound; away: how far
    the exponents are from it that are to be told apart. errors: by how far single costs spread, the standard deviation of what is fitted;
    is_known: whether the rule is told that.
    """
    least = [f"{least_distance(sizes, error, is_known):.2g}" for error in errors.values()]
    one = [power_of_exponent(away, sizes, error, is_known) for error in errors.values()]
    whole = [_least(*[of] * exponents) for of in one]
    return (
        f"Suppose that {cost} by {_lettered([f'{spread:.0%}' for spread in errors])} (standard deviation). An exponent over {len(sizes)} "
        f"lengths, each {sizes[1] / sizes[0]:.0f} times the last, is found to lie on its side of {between:g} four times in five if it is "
        f"{_lettered(least)} away. One of {between - away:g} or {between + away:g} is in {_told(one)} of cases, and "
        f"{_all(exponents).lower()} are in at least {_floored(whole)}, {ANYHOW}. A bend in a curve makes it less."
    )


def power_of_agreement(seeds: int, conditions: int = 1) -> str:
    """That of a claim that has to hold in every seed. conditions: how many there are, all of which a seed has to fulfil."""
    far = f"{distance_of_agreement(seeds, conditions):.1f} standard deviations"
    what = (
        f"A quantity that is normal over starts is found beyond its threshold four times in five if it is {far} beyond on average."
        if conditions == 1
        else f"The rule's {conditions} quantities, if normal over starts, are found beyond their thresholds four times in five or more, "
        f"{ANYHOW}, if each is {far} beyond on average."
    )
    return (
        f"All {seeds} seeds have to agree, also for not reproduced. What holds for half of all starts is called so by chance in "
        f"{0.5**seeds:.1%} of cases, and what holds for nine of ten is seen in {0.9**seeds:.0%}. {what}"
    )


def _ahead(designs: Sequence[Design], much: str, equal: str) -> str:
    """How often a lead is found by one comparison. much, equal: what follows on all, of leads by two margins and of none."""
    ahead, level = ([power(*of, design) for design in designs] for of in (AHEAD, NOT_AHEAD))
    some = [f"{least_truth(surely_above(0.0), design):.1f}" for design in designs]
    return (
        f"A mechanism that is truly ahead by two margins is found ahead by more than one in {_told(ahead)} of cases.{much} One that is "
        f"truly equal is found ahead by less than one, if at all (not reproduced), in {_told(level)}.{equal} A true lead of "
        f"{_lettered(some)} margins is found, as a lead, four times in five."
    )


def _designs(seeds: int, cases: Sequence[tuple[float, float]], tasks: int = 1, share: float = 1.0) -> list[Design]:
    return [Design(seeds, sd, items, tasks, share) for sd, items in cases]


def _together(of: Finding, seeds: int, families: Sequence[int], mechanisms: int, sharing: int, supposed: str) -> str:
    """A sentence on all comparisons of a claim, where there are several. sharing: how many of a family share a mechanism."""
    if (count := len(families) * mechanisms) == 1:
        return ""
    likely, least = [], []
    for sd, items in CASES:
        designs = [Design(seeds, sd, items, tasks) for tasks in families]
        likely.append(math.prod(power(*of, design, together=sharing) ** (mechanisms // sharing) for design in designs))
        least.append(_least(*[power(*of, design) for design in designs] * mechanisms))
    return f" {_all(count)} comparisons are in {_told(likely)} if {supposed}, in at least {_floored(least)} {ANYHOW}."


def _least(*powers: float) -> float:
    """The least that the power of all together can be, whatever their dependence: misses are added up."""
    return max(0.0, 1 - sum(1 - of for of in powers))


def _all(count: int) -> str:
    return "Both" if count == 2 else f"All {count}"


def _on(families: Sequence[int]) -> str:
    return "on one task" if min(families) == 1 else f"on average over {min(families)} tasks"


def _percent(of: float) -> str:
    return f"{min(of, MOST):.0%}"


def _told(powers: Sequence[float]) -> str:
    return _lettered([_percent(of) for of in powers])


def _floored(powers: Sequence[float]) -> str:
    """Powers that are had at least, as multiples of five points: what is supposed of variances moves them by a few."""
    return _lettered([f"{math.floor(20 * of + 1e-9) * 5}%" for of in powers])


def _lettered(cases: Sequence[str]) -> str:
    """The numbers of all cases that are supposed: "(a) 98%, (b) 56%"."""
    return ", ".join(f"({letter}) {of}" for letter, of in zip("abc", cases, strict=False))
