"""Sigmoid attention learns about as well as softmax attention, or better, on vision, classification and language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision
from attnbench.claims._findings import matches, told
from attnbench.claims._leads import MARGINS, TELLING, family, telling
from attnbench.claims._power import power_of_matches
from attnbench.claims._runs import BUDGET, CONTROLS, COUNTED, FAMILIES, SEEDS, SOFTMAX, Mechanism, arms, families

if TYPE_CHECKING:
    import pandas as pd

ARMS = {"softmax": SOFTMAX, "sigmoid": Mechanism("sigmoid"), **CONTROLS}


def query(table: pd.DataFrame) -> pd.DataFrame:
    return families(table, ARMS, FAMILIES)


def decide(rows: pd.DataFrame) -> Decision:
    rows, why = telling(rows)
    if rows.empty:
        return "inconclusive", why
    ahead = family(rows, "sigmoid", "softmax")
    return matches(ahead), f"{told('ahead of softmax', ahead)}. {why}".rstrip()


CLAIM = Claim(
    statement="Sigmoid attention is comparable to or better than softmax attention on vision, on classifying sequences and on language.",
    quote="… properly normalized sigmoid attention matches the strong performance of softmax attention on a wide range of domains and "
    "scales …",
    citation="Ramapuram, Danieli, Dhekane and others 2024, Theory, Analysis, and Best Practices for Sigmoid Self-Attention",
    source="arXiv 2409.04431 v2",
    evaluated="Language, vision and speech, at scales far beyond ours; it finds that large norms of the attention at the start have to be "
    "stabilised.",
    rule=f"{COUNTED} Residual models. For each of the families {', '.join(FAMILIES)}, the mean over its tasks of the difference in the "
    f"test metric in units of a margin: {MARGINS['accuracy']:g} of accuracy, {MARGINS['bits_per_byte']:g} bits per byte. Of a family it is "
    "reproduced where sigmoid is surely behind softmax by less than a margin, if at all, at 5 %, one-sided, by Welch's test, and not "
    "reproduced where surely by more. Partly: families disagree. "
    f"{TELLING}",
    power=power_of_matches(SEEDS, [len(tasks) for tasks in FAMILIES.values()]),
    arms=tuple(arm for part, tasks in FAMILIES.items() for arm in arms(ARMS, places=len(tasks), part=part)),
    query=query,
    decide=decide,
    apart=(BUDGET,),
)
