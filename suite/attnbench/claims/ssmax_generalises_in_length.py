"""Scalable softmax is better than softmax on sequences longer than those of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision, combined, join
from attnbench.claims._findings import ahead, told
from attnbench.claims._leads import LEARNT, MARGINS, difference, learnt
from attnbench.claims._power import power_of_ahead_by_seeds
from attnbench.claims._runs import BUDGET, COUNTED, SEEDS, SOFTMAX, Mechanism, On, arms, one_recipe, runs

if TYPE_CHECKING:
    import pandas as pd

ARMS = {"softmax": SOFTMAX, "ssmax": Mechanism("ssmax")}
LENGTHS = ("2x", "4x")
LEAST = LEARNT["bits_per_byte"]
LONGEST = 256  # bytes, four times those of training
TASKS = (On("sotu_lm", "bits_per_byte"),)


def query(table: pd.DataFrame) -> pd.DataFrame:
    where = {"block": "residual", "positions": "none", "test_seq_len": LONGEST}
    rows = join([runs(table, ARMS, TASKS, of=f"at_{length}", **where).assign(at=length) for length in LENGTHS])
    return one_recipe(rows, list(ARMS))


def decide(rows: pd.DataFrame) -> Decision:
    at_length = {str(at): own for at, own in rows.groupby("at", sort=True)}
    if lost := [at for at, own in at_length.items() if not any(learnt(own, arm) for arm in ARMS)]:
        return "inconclusive", f"neither reaches {LEAST:g} bits per byte better than knowing nothing at {' and '.join(lost)}."
    found = {at: difference(own, "ssmax", "softmax") for at, own in at_length.items()}
    said = "; ".join(told(f"at {at} ssmax ahead by", of, "bits per byte") for at, of in found.items())
    return combined(ahead(of, MARGINS["bits_per_byte"]) for of in found.values()), f"{said}."


CLAIM = Claim(
    statement="Scalable softmax generalises in length: beyond the length of training it is better than softmax.",
    quote="… models using SSMax not only achieve faster loss reduction during pretraining but also significantly improve performance in "
    "long contexts and key information retrieval.",
    citation="Nakanishi 2025, Scalable-Softmax Is Superior for Attention",
    source="arXiv 2501.19399 v1",
    evaluated="Language models pretrained on shorter contexts than they are tested on, and the retrieval of key information; others "
    "dispute the effect.",
    rule=f"{COUNTED} Residual models on sotu_lm without positions, trained on 64 bytes, tested at 2 and 4 times as many. Reproduced: at "
    f"both lengths ssmax is surely ahead of softmax by more than {MARGINS['bits_per_byte']:g} bits per byte, at 5 %, one-sided, by Welch's "
    "test. Partly: surely ahead, not surely by the margin, or at one length only. Not reproduced: at both surely ahead by less than the "
    "margin, if at all. Where neither is better than knowing nothing by "
    f"{LEAST:g} bits per byte nothing is decided.",
    power=power_of_ahead_by_seeds(SEEDS, places=len(LENGTHS)),
    arms=arms(ARMS, places=2, axis="length"),
    query=query,
    decide=decide,
    apart=(BUDGET,),
)
