"""What claims on several depths, or several lengths, of runs print of their power is true of their rules; see test_power."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from attnbench.claim import Verdict, combined
from attnbench.claims._findings import ahead
from attnbench.claims._power import BY_SEEDS, CASES
from attnbench.claims._runs import PROTOCOL, SEEDS
from attnbench.stats import crossed_difference, least_variance
from attnbench.stats.difference import LEVEL
from helpers.claim_data import claim

Floats = NDArray[np.float64]

TRIALS = 600
ASKED = np.random.default_rng(0).integers(10, 50, 64).tolist()  # questions of each block of test rows
WEIGHTS = np.array(ASKED) / sum(ASKED)
KEPT, BASE, LEARNT = 0.9, 0.1, 0.8  # what is to be kept, known by chance, and learnt by the residual model
RESIDUAL, OURS, THEIRS = "softmax, residual", "orthogonal, skipless", "softmax, skipless"


def after(words: str, text: str) -> list[list[float]]:
    """The shares of the cases (a), (b) and (c) wherever they follow some words."""
    found = re.findall(re.escape(words) + r" ((?:\([abc]\) \d+%(?:, )?)+)", text)
    return [[float(of) / 100 for of in re.findall(r"(\d+)%", each)] for each in found]


def slack(share: float) -> float:
    return 2 * math.sqrt(share * (1 - share) / TRIALS)


def hold(share: float, stated: float) -> None:
    print(f"found {share:.3f}, stated {stated:.2f}")
    assert abs(share - stated) <= 0.05 + slack(stated)


def rows_of(arm: str, at: object, scores: Floats, is_in_blocks: bool, nothing: float, metric: str) -> Iterator[dict[str, object]]:
    """The rows of the runs of an arm. scores: [seeds, blocks]; nothing: what knowing nothing scores."""
    known = {"better": 1.0, "nothing": nothing, "task_metric": metric}
    for seed, blocks in enumerate(scores):
        seen = {"blocks": blocks.tolist(), "asked": ASKED} if is_in_blocks else {"blocks": None, "asked": None}
        yield {"arm": arm, "at": at, "seed": seed, "value": float(blocks @ WEIGHTS), **known, **seen}


def keeps(scores: dict[str, Floats]) -> tuple[Verdict, bool]:
    """At one depth what is to be said of orthogonal, and whether softmax is surely below; scores are above chance."""
    share = [of if arm != RESIDUAL else KEPT * of for arm, of in scores.items()]
    floor, plain = least_variance(share, WEIGHTS), least_variance(list(scores.values()), WEIGHTS)
    ours, theirs = (crossed_difference(scores[arm], KEPT * scores[RESIDUAL], WEIGHTS, floor) for arm in (OURS, THEIRS))
    better = crossed_difference(scores[OURS], scores[THEIRS], WEIGHTS, plain).p_above() < LEVEL
    if ours.p_above() < LEVEL:
        found: Verdict = "reproduced"
    else:
        found = "inconclusive" if ours.p_below() >= LEVEL else "partly" if better else "not reproduced"
    return found, theirs.p_below() < LEVEL


@pytest.mark.parametrize("case", [0, *(pytest.param(case, marks=pytest.mark.long) for case in range(1, len(CASES)))])
def test_a_share_that_is_kept(case: int) -> None:
    """Of .8 that the residual model learns, a tenth may be lost. Items add to a difference from .9 of it in 1.81 parts."""
    text, (sd, items), tenth = claim("orthogonal_trains_skipless").power, CASES[case], LEARNT * (1 - KEPT)
    assert "(a) 5% and nothing, (b) 5% each, (c) 10% and 5%" in text
    for keeping, wanted, what, of_one in ((1.0, "reproduced", "together in", True), (0.8, "not reproduced", "(not reproduced) in", False)):
        chance, one, whole = np.random.default_rng(case), 0, 0
        for trial in range(TRIALS):
            depths = []
            for _ in range(2):
                scores = {}
                for arm, share in ((RESIDUAL, 1.0), (OURS, keeping), (THEIRS, 0.8)):
                    own = items / math.sqrt(1 + KEPT**2) * WEIGHTS**-0.5 * chance.standard_normal(len(WEIGHTS))
                    scores[arm] = LEARNT * share + tenth * (sd * chance.standard_normal((SEEDS, 1)) + own)
                depths.append(scores)
            found = [keeps(scores) for scores in depths]
            verdict = combined(of for of, _ in found)
            if verdict == "reproduced" and not found[-1][1]:
                verdict = "inconclusive"  # or partly
            one += found[0][0] == wanted if of_one else found[0][1]
            whole += verdict == wanted
            rows = [
                row
                for at, of in zip((6, 12), depths, strict=True)
                for arm, own in of.items()
                for row in rows_of(arm, at, BASE + own, True, BASE, "accuracy")
            ]
            assert trial >= 2 or (claim("orthogonal_trains_skipless").decide(pd.DataFrame(rows))[0] == wanted) == (verdict == wanted)
        least = after("in at least", text)[0 if of_one else 1][case]
        hold(one / TRIALS, after("at one depth in", text)[0][case])
        hold(whole / TRIALS, after(what, text)[0][case])
        assert whole / TRIALS >= least - slack(least)


@pytest.mark.parametrize("case", range(len(BY_SEEDS)))
def test_a_lead_at_two_lengths_of_the_same_runs(case: int) -> None:
    """Where lengths are as far as can be from each other, so that what a run has at the one it lacks at the other, misses add up."""
    text, sd, margin = claim("ssmax_generalises_in_length").power, BY_SEEDS[case][0], PROTOCOL.margins["bits_per_byte"]
    for world, (lead, wanted, one) in enumerate(((2.0, "reproduced", "than one in"), (0.0, "not reproduced", "(not reproduced), in"))):
        least = after("in at least", text)[world][case]
        for way in (1.0, -1.0):
            chance, alone, both = np.random.default_rng(case), 0, 0
            for trial in range(TRIALS):
                seeds = sd * chance.standard_normal((2, SEEDS))
                scores = [margin * (lead * np.array([[0.0], [1.0]]) + sign * seeds) for sign in (1.0, way)]
                found = [ahead(crossed_difference(ours, theirs), margin) for theirs, ours in scores]
                alone, both = alone + (found[1] == wanted), both + (combined(found) == wanted)
                if trial < 2:
                    rows = [
                        row
                        for at, of in zip(("2x", "4x"), scores, strict=True)
                        for arm, own in zip(("softmax", "ssmax"), of, strict=True)
                        for row in rows_of(arm, at, own[:, None] + np.zeros(len(WEIGHTS)), False, -1.0, "bits_per_byte")
                    ]
                    assert claim("ssmax_generalises_in_length").decide(pd.DataFrame(rows))[0] == combined(found)
            hold(alone / TRIALS, after(one, text)[0][case])
            assert both / TRIALS >= least - slack(least)
