"""What the claims share that polynomial attention learns as well as softmax attention: one for each family of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.claim import Decision, combined
from attnbench.claims._findings import matches, power_text, told
from attnbench.claims._leads import family
from attnbench.claims._runs import BUDGET, FAMILIES, POLYNOMIALS, SEEDS, SOFTMAX, Mechanism, On, arms, families

if TYPE_CHECKING:
    import pandas as pd

REPRODUCED = (
    "Reproduced: both x³/√N and x² with a learned scale are surely behind softmax by less than the margin, if at all, at 5 %, one-sided, "
    "by Welch's test. Partly: one of them is, and the other surely behind by more. Not reproduced: both are surely behind by more."
)


def of_family(part: str) -> dict[str, Any]:
    """The fields of a claim on one of FAMILIES that polynomials are as good as softmax: see against."""
    found = against("softmax", SOFTMAX, {part: FAMILIES[part]})
    return {**found, "arms": arms(("softmax", *POLYNOMIALS), places=len(FAMILIES[part]))}


def against(name: str, other: Mechanism, parts: Mapping[str, Sequence[On]]) -> dict[str, Any]:
    """The fields of a claim that polynomials are as good as another mechanism: what the paper says, and what is compared and how."""
    mechanisms = {name: other, **POLYNOMIALS}

    def query(table: pd.DataFrame) -> pd.DataFrame:
        return families(table, mechanisms, parts)

    def decide(rows: pd.DataFrame) -> Decision:
        found = {arm: family(rows, arm, name) for arm in POLYNOMIALS}
        return combined(map(matches, found.values())), f"ahead of {name}: {'; '.join(told(arm, of) for arm, of in found.items())}."

    return {
        "quote": "… certain polynomials can serve as effective substitutes for softmax, achieving strong performance across transformer "
        "applications …; in v1: … perform comparably or better than softmax across various computer vision and language tasks …",
        "citation": "Saratchandran, Zheng, Ji, Zhang, Lucey 2024, Rethinking Attention: Polynomial Alternatives to Softmax in Transformers",
        "source": "arXiv 2410.18613 v3",
        "power": power_text(SEEDS, tasks=max(map(len, parts.values()))),
        "arms": tuple(arm for part, tasks in parts.items() for arm in arms(mechanisms, places=len(tasks), part=part)),
        "query": query,
        "decide": decide,
        "apart": (BUDGET,),
    }
