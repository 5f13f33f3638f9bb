"""What the claims share that polynomial attention learns as well as another mechanism, on some families of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attnbench.claim import Decision, combined
from attnbench.claims._findings import matches, told
from attnbench.claims._leads import TELLING, family, telling
from attnbench.claims._power import power_of_matches
from attnbench.claims._runs import BUDGET, CONTROLS, FAMILIES, POLYNOMIALS, SEEDS, SOFTMAX, Mechanism, arms, families

if TYPE_CHECKING:
    import pandas as pd

REPRODUCED = (
    "Reproduced: both x³/√N and x² with a learned scale are surely behind softmax by less than the margin, if at all, at 5 %, one-sided, "
    "by Welch's test. Partly: one of them is, and the other surely behind by more. Not reproduced: both are surely behind by more. "
    f"{TELLING}"
)


def against(name: str, other: Mechanism, parts: Sequence[str]) -> dict[str, Any]:
    """The fields of a claim that polynomials learn as well as another mechanism: what the paper says, and what is compared and how.

    parts: of FAMILIES.
    """
    mechanisms = {"softmax": SOFTMAX, name: other, **POLYNOMIALS, **CONTROLS}

    def query(table: pd.DataFrame) -> pd.DataFrame:
        return families(table, mechanisms, parts)

    def decide(rows: pd.DataFrame) -> Decision:
        rows, why = telling(rows)
        if rows.empty:
            return "inconclusive", why
        found = {arm: family(rows, arm, name) for arm in POLYNOMIALS}
        said = f"ahead of {name}: {'; '.join(told(arm, of) for arm, of in found.items())}."
        return combined(map(matches, found.values())), f"{said} {why}".rstrip()

    return {
        "quote": "… certain polynomials can serve as effective substitutes for softmax, achieving strong performance across transformer "
        "applications …; in v1: … perform comparably or better than softmax across various computer vision and language tasks …",
        "citation": "Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Attention: Polynomial Alternatives to Softmax in Transformers",
        "source": "arXiv 2410.18613 v3",
        "power": power_of_matches(SEEDS, [len(FAMILIES[part]) for part in parts], len(POLYNOMIALS)),
        "arms": tuple(arm for part in parts for arm in arms(mechanisms, places=len(FAMILIES[part]), part=part)),
        "query": query,
        "decide": decide,
        "apart": (BUDGET,),
    }
