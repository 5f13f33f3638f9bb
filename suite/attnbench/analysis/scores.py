"""The scores of training runs in one setting, by seed and by block of test rows: which mechanism is surely ahead, and how sure each is.

A score is the metric, with its sign turned where less is better. Where all runs of a setting say what they scored in each block of test
rows, seeds and rows both count as drawn (stats/crossed.py); older records say it for the whole part alone, and there only seeds do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.diverged import ASKED, BLOCKS
from attnbench.analysis.entries import Entry, Lookup
from attnbench.analysis.samples import BASELINE
from attnbench.stats import Interval, within
from attnbench.stats.crossed import Difference, crossed_difference, crossed_mean, higher, least_variance
from attnbench.stats.learning_resolution import resolution_of_scores
from attnbench.store.metrics import RESULTS, higher_is_better

READ = (*RESULTS, *(f"{metric}{BLOCKS}" for metric in RESULTS), ASKED)  # metrics from which scores are made

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """The scores of several mechanisms of a setting.

    tables: of each [seeds, blocks], or [seeds] without blocks. weights: the share of each block in the test part; None without blocks.
    metric: what was measured. sign: 1, or -1 where less is better.
    """

    metric: str
    sign: float
    tables: tuple[Floats, ...]
    weights: Floats | None

    def ahead(self) -> NDArray[np.bool_]:
        """At [i, j]: whether i is surely better than j, with at most 5 % of such statements false."""
        return higher(self.tables, self.weights)

    def interval(self, place: int) -> Interval:
        """The mean of a mechanism over its seeds with its interval, in the metric; of one seed without."""
        mean = crossed_mean(self.tables[place], self.weights, self.least)
        found = mean.interval() if self.sign > 0 else Difference(-mean.value, mean.variance, mean.freedom).interval()
        return within(found, 0.0, 1.0 if self.metric == "accuracy" else math.inf)

    def difference(self, place: int, other: int) -> Difference:
        """How far one mechanism is ahead of another, in the metric; above zero it is better."""
        return crossed_difference(self.tables[place], self.tables[other], self.weights, self.least)

    @property
    def least(self) -> float:
        """The variance between seeds below which none is taken."""
        return least_variance(self.tables, self.weights)


def scores_of(entries: Sequence[Entry], metric: str, lookup: Lookup) -> Scores:
    """The scores of mechanisms of which every seed has a result. lookup: samples by metric and record, of the metrics READ."""
    sign = 1.0 if higher_is_better(metric) else -1.0
    blocks = [[lookup.get(f"{metric}{BLOCKS}", {}).get(record) for record in entry.records] for entry in entries]
    asked = [lookup.get(ASKED, {}).get(record) for entry in entries for record in entry.records]
    first = asked[0] if asked else None
    if first and all(of == first for of in asked) and all(of and len(of) == len(first) for mine in blocks for of in mine):
        weights = np.array(first) / sum(first)
        return Scores(metric, sign, tuple(sign * np.array(mine, dtype=float) for mine in blocks), weights)
    whole = lookup.get(metric, {})
    return Scores(metric, sign, tuple(sign * np.array([whole[record][0] for record in entry.records]) for entry in entries), None)


def resolution(scores: Scores, labels: Sequence[str], seeds: int) -> float | None:
    """How far apart two equal mechanisms with so many seeds may be by chance, in the metric, from softmax's own seeds; None without two."""
    if BASELINE not in labels:
        return None
    found = resolution_of_scores(scores.tables[labels.index(BASELINE)], scores.weights, seeds)
    return None if math.isnan(found) else found
