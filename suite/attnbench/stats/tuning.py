"""The choice of a learning rate: which trials come next, which rate is best, and how wide the plateau around it is.

tried: the loss of each trial, by rate and seed, infinite for one that diverged or failed. Rates are compared as the floats that they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Tried = Mapping[float, Mapping[int, float]]
Trial = tuple[float, int]  # rate and seed


def best_rate(tried: Tried) -> float:
    """The rate of the least mean loss over the seeds that it has; of equals the smaller. A rate with an infinite loss is the last of all.

    Raises ValueError where nothing was tried.
    """
    found = _by_loss(tried)
    if not found:
        raise ValueError("no rate was tried, so that none is best")
    return found[0]


def next_trials(
    tried: Tried, base: Sequence[float], ladder: Sequence[float], seeds: Sequence[int], deciding_seed: int | None = None
) -> list[Trial]:
    """The trials, rate and seed, that are to be run next; none once the rate is decided.

    First all rates of `base` with all `seeds`. Then, while the best rate is the smallest or the largest and the ladder goes on beyond it,
    the next rate of the ladder. Last, where the two best are closer in mean loss than their seeds spread, both with the deciding seed, each
    once; that may make an edge the best again, or another pair the two best.

    The rules are gone through from the start, by the losses of the trials that they ask for in turn. So trials that were run in another
    order, or of which some were lost to an interruption, lead to the same decision. Trials that they never asked for count at the end.
    It always ends: every round asks for trials that no round before did, and the ladder has an end.

    Raises ValueError without rates or seeds.
    """
    if not base or not seeds:
        raise ValueError("tuning needs a rate and a seed at least")
    known: dict[float, dict[int, float]] = {}
    while True:
        wanted = _wanted(known, base, ladder, seeds, deciding_seed)
        missing = [(rate, seed) for rate, seed in wanted if seed not in tried.get(rate, {})]
        if missing:
            return missing
        if not wanted:
            unasked = {(rate, seed) for rate, losses in tried.items() for seed in losses if seed not in known.get(rate, {})}
            if not unasked:
                return []
            wanted = sorted(unasked)
        for rate, seed in wanted:
            known.setdefault(rate, {})[seed] = tried[rate][seed]


def _wanted(known: Tried, base: Sequence[float], ladder: Sequence[float], seeds: Sequence[int], deciding_seed: int | None) -> list[Trial]:
    """The trials of the first rule that is not met."""
    begun = [(rate, seed) for rate in sorted({*base, *known}) for seed in seeds if seed not in known.get(rate, {})]
    if begun:
        return begun
    first, *others = _by_loss(known)
    beyond: list[float] = []
    if first == min(known):
        beyond = sorted(rate for rate in ladder if rate < first)[-1:]
    if first == max(known) and not beyond:
        beyond = sorted(rate for rate in ladder if rate > first)[:1]
    if beyond:
        return [(beyond[0], seed) for seed in seeds]
    if deciding_seed is None or not others or not _close(known[first].values(), known[others[0]].values()):
        return []
    return [(rate, deciding_seed) for rate in sorted((first, others[0])) if deciding_seed not in known[rate]]


def _by_loss(tried: Tried) -> list[float]:
    """The rates that were tried, the best first."""
    return sorted((rate for rate in tried if tried[rate]), key=lambda rate: (_mean(tried[rate].values()), rate))


def _mean(losses: Iterable[float]) -> float:
    given = sorted(losses)  # so that the order in which they came does not show in the last bit
    return math.fsum(given) / len(given) if all(map(math.isfinite, given)) else math.inf


def _close(mine: Iterable[float], theirs: Iterable[float]) -> bool:
    """Whether two rates are closer in mean loss than their seeds spread: less than the standard deviation pooled within the two."""
    pair = [np.sort(np.fromiter(losses, dtype=float)) for losses in (mine, theirs)]
    freedom = sum(len(losses) - 1 for losses in pair)
    if not freedom or not all(np.isfinite(losses).all() for losses in pair):
        return False
    squares = sum(float(((losses - losses.mean()) ** 2).sum()) for losses in pair)
    return abs(_mean(pair[0]) - _mean(pair[1])) < math.sqrt(squares / freedom)


@dataclass(frozen=True)
class Plateau:
    """The rates around the best one at which a result is about as good.

    decades: its width, log10(high / low). is_open_low, is_open_high: whether it reaches an end of what was tried, so that it may be wider.
    """

    low: float
    high: float
    decades: float
    is_open_low: bool
    is_open_high: bool


def plateau(losses_by_rate: Mapping[float, float], best_is_less: bool, tolerance: float) -> Plateau:
    """The run of neighbouring rates around the best (of equals the smaller) whose losses, or scores, are within `tolerance` of the best's.

    Its ends are where the line between the last rate within and the first beyond, over the logarithm of the rate, leaves the tolerance; at
    the last rate within where the next diverged. All rates are above 0.

    Raises ValueError where no loss is finite.
    """
    rates = sorted(losses_by_rate)
    worse = [(loss if best_is_less else -loss) if math.isfinite(loss) else math.inf for loss in (losses_by_rate[rate] for rate in rates)]
    if not any(map(math.isfinite, worse)):
        raise ValueError(f"no result is finite, so that none is best, at the rates {rates}")
    best = worse.index(min(worse))
    above = [loss - worse[best] for loss in worse]
    low, is_open_low = _end(rates[best::-1], above[best::-1], tolerance)
    high, is_open_high = _end(rates[best:], above[best:], tolerance)
    return Plateau(low, high, math.log10(high / low), is_open_low, is_open_high)


def _end(rates: Sequence[float], above: Sequence[float], tolerance: float) -> tuple[float, bool]:
    """Where a result is first beyond the tolerance, from the best rate on; and whether it never is.

    above: by how much the result at each rate is worse than the best.
    """
    for i in range(1, len(rates)):
        if above[i] > tolerance:
            share = (tolerance - above[i - 1]) / (above[i] - above[i - 1])
            return rates[i - 1] * (rates[i] / rates[i - 1]) ** share, False
    return rates[-1], True
