"""What a claim on differences prints of its power is true of its rule: by the numbers of its text, and verdicts on data that are drawn.

Drawn are scores of that design, seeds crossed with blocks of test items, both normal. A simulation of n trials sees a rate p with a
standard error of sqrt(p (1 - p) / n); what is printed is held to five points and two of it, and what is printed as the least is never
undercut by more than two of it. Differences are made as claims/_leads.py makes them, without the table; that `decide` comes to the same
verdict is tested on some of the draws.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from attnbench.claim import Verdict, combined
from attnbench.claims._findings import ahead, differs, matches
from attnbench.claims._power import BY_SEEDS, CASES
from attnbench.claims._runs import CONTROLS, FAMILIES, PROTOCOL, SEEDS, On
from attnbench.stats import Difference, crossed_difference, family_difference, least_variance
from attnbench.stats.difference import LEVEL
from helpers.claim_data import claim
from helpers.claim_records import FAR

Floats = NDArray[np.float64]
Drawn = dict[str, dict[str, dict[str, Floats]]]  # by part, task and arm, in margins, [seeds, blocks]

TRIALS = 600
ASKED = np.random.default_rng(0).integers(10, 50, 64).tolist()  # questions of each block of test rows
WEIGHTS = np.array(ASKED) / sum(ASKED)
WANTED: tuple[Verdict, Verdict] = ("reproduced", "not reproduced")
NUMBERS = r"\(a\) ([\d.]+)%?, \(b\) ([\d.]+)%?(?:, \(c\) ([\d.]+)%?)?"


@dataclass(frozen=True)
class Plan:
    """A claim on differences: its rule, the pairs that it compares on every task of every part, and what is true in two worlds.

    leads: of the first of each pair, in margins, in the worlds of which "reproduced" and "not reproduced" are to be found. beside: further
    arms, by which a task is seen to count.
    """

    rule: Callable[[Difference], Verdict]
    pairs: Sequence[tuple[str, str]]
    parts: Mapping[str, Sequence[On]]
    leads: tuple[float, float]
    beside: Sequence[str] = ()


POLYNOMIALS = ("x³/√N", "x², learned scale")
MNIST, MQAR, MLM = On("mnist"), On("mqar", difficulty="pairs 16"), On("sotu_mlm", "bits_per_byte")
STARTS = ("softmax_orthogonal_init", "value_skipinit", "shaped")
TELLING = ("softmax", *CONTROLS)


def against(other: str, mechanisms: Sequence[str], *parts: str) -> Plan:
    return Plan(matches, [(name, other) for name in mechanisms], {part: FAMILIES[part] for part in parts}, (0.0, -2.0), TELLING)


def leading(first: str, others: Sequence[str], task: On) -> Plan:
    return Plan(ahead, [(first, other) for other in others], {"": [task]}, (2.0, 0.0))


PLANS = {
    "polynomial_matches_softmax_on_vision": against("softmax", POLYNOMIALS, "vision"),
    "polynomial_matches_softmax_on_classification": against("softmax", POLYNOMIALS, "sequence classification"),
    "polynomial_on_byte_language": against("softmax", POLYNOMIALS, "byte language"),
    "polynomial_matches_sigmoid": against("sigmoid", POLYNOMIALS, *FAMILIES),
    "sigmoid_matches_softmax": against("softmax", ["sigmoid"], *FAMILIES),
    "linear_attention_trails_on_recall": leading("softmax", ["linear_elu", "mamba2"], MQAR),
    "polynomial_trails_on_recall": leading("softmax", POLYNOMIALS, MQAR),
    "damping_hurts_depth": leading("orthogonal_cayley", ["orthogonal_cayley, damping 1"], MNIST),
    "orthogonality_beyond_its_start": leading("orthogonal", STARTS, MNIST),
    "initial_norm_matters": Plan(differs, [(f"{name}, half", name) for name in ("softmax", *POLYNOMIALS)], FAMILIES, (2.0, 0.0), TELLING),
}


def percents(text: str) -> list[list[float]]:
    """The numbers of the cases (a), (b) and (c), as shares, in the order of the text; those without "%" are left out."""
    found = [of for of in re.finditer(NUMBERS, text) if of.group().endswith("%")]
    return [[float(number) / 100 for number in of.groups() if number] for of in found]


def slack(share: float, trials: int = TRIALS) -> float:
    return 2 * math.sqrt(share * (1 - share) / trials)


def hold(share: float, stated: float, trials: int = TRIALS) -> None:
    print(f"found {share:.3f}, stated {stated:.2f}")
    assert abs(share - stated) <= 0.05 + slack(stated, trials)


def draw(plan: Plan, case: tuple[float, float], chance: np.random.Generator) -> Drawn:
    """Scores of every arm, all truly equal but for the controls, which are far behind."""
    sd, items = case
    found: Drawn = {}
    for part, tasks in plan.parts.items():
        for on in tasks:
            shared = 3 * WEIGHTS**-0.5 * chance.standard_normal(len(WEIGHTS))  # what items do to all
            found.setdefault(part, {})[str(on)] = scores = {}
            for arm in dict.fromkeys([name for pair in plan.pairs for name in pair] + list(plan.beside)):
                own = items / math.sqrt(2) * WEIGHTS**-0.5 * chance.standard_normal(len(WEIGHTS))
                scores[arm] = sd * chance.standard_normal((SEEDS, 1)) + own + shared + (FAR if arm in CONTROLS else 0.0)
    return found


def differences(plan: Plan, drawn: Drawn) -> dict[str, list[Difference]]:
    """Of every part that of every pair: the mean over its tasks."""
    found: dict[str, list[Difference]] = {}
    for part, tasks in drawn.items():
        least = {task: least_variance(list(scores.values()), WEIGHTS) for task, scores in tasks.items()}
        for arm, other in plan.pairs:
            each = [crossed_difference(of[arm], of[other], WEIGHTS, least[task]) for task, of in tasks.items()]
            found.setdefault(part, []).append(family_difference(each, [1.0] * len(each)))
    return found


def ahead_by(plan: Plan, drawn: Drawn, lead: float) -> Drawn:
    """The same scores, where the first of each pair is ahead of the second by so much."""
    firsts = {arm for arm, _ in plan.pairs}
    return {
        part: {task: {arm: of + lead * (arm in firsts) for arm, of in scores.items()} for task, scores in tasks.items()}
        for part, tasks in drawn.items()
    }


def decided(name: str, plan: Plan, drawn: Drawn) -> Verdict:
    """What the claim itself says of scores, a part at a time, as the judge does."""
    verdicts = []
    for part, tasks in drawn.items():
        rows = []
        for on in plan.parts[part]:
            sign, margin = (1.0 if on.metric == "accuracy" else -1.0), PROTOCOL.margins[on.metric]
            for arm, scores in tasks[str(on)].items():
                for seed, blocks in enumerate(0.6 + sign * margin * scores):
                    row = {"arm": arm, "at": str(on), "seed": seed, "value": blocks @ WEIGHTS, "blocks": blocks.tolist(), "asked": ASKED}
                    rows.append({**row, "better": sign, "nothing": 0.6 - sign, "task_metric": on.metric, "part": part})
        verdicts.append(claim(name).decide(pd.DataFrame(rows))[0])
    return combined(verdicts)


@pytest.mark.parametrize("case", [pytest.param(0, marks=pytest.mark.long), 1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", PLANS)
def test_claims_on_differences(name: str, case: int) -> None:
    """In the text: of one comparison and, of several, of all that are likely and least, first where it is reproduced, then where not. Of a
    claim that two are alike the second is as often."""
    plan, stated = PLANS[name], [of[case] for of in percents(claim(name).power)]
    several = len(plan.pairs) * len(plan.parts) > 1
    width = 3 if several else 1
    worlds = [stated, stated] if plan.rule is matches else [stated[:width], stated[width:]]
    assert all(len(numbers) == width for numbers in worlds)
    fewest = min(plan.parts, key=lambda part: len(plan.parts[part]))
    chance, found = np.random.default_rng(case), np.zeros((2, 2))
    for trial in range(TRIALS):
        drawn = draw(plan, CASES[case], chance)
        equal = differences(plan, drawn)
        for world, wanted in enumerate(WANTED):
            lead = plan.leads[world]
            verdicts = {part: [plan.rule(replace(of, value=of.value + lead)) for of in each] for part, each in equal.items()}
            verdict = combined(combined(of) for of in verdicts.values())
            found[world] += verdicts[fewest][0] == wanted, verdict == wanted
            assert trial >= 2 or decided(name, plan, ahead_by(plan, drawn, lead)) == verdict
    for numbers, shares in zip(worlds, found / TRIALS, strict=True):
        for share, told in zip(shares, numbers, strict=False):
            hold(share, told)
        if several:
            assert shares[1] >= numbers[2] - slack(numbers[2])


@pytest.mark.parametrize("name", ["damping_hurts_depth", "ssmax_generalises_in_length"])
def test_the_smallest_lead_is_found_four_times_in_five(name: str) -> None:
    said = re.search(rf"A true lead of {NUMBERS} margins", claim(name).power)
    assert said
    for case, lead in zip(BY_SEEDS if name.startswith("ssmax") else CASES, said.groups(), strict=False):
        chance, plan = np.random.default_rng(1), Plan(ahead, [("a", "b")], {"": [MNIST]}, (0.0, 0.0))
        found = [differences(plan, draw(plan, case, chance))[""][0].p_above(-float(lead)) < LEVEL for _ in range(TRIALS)]
        hold(sum(found) / TRIALS, 0.8)
