"""What the claims share that mechanisms are behind softmax attention at recalling what stands in their context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attnbench.claim import Decision, combined
from attnbench.claims._findings import ahead, power_text, told
from attnbench.claims._leads import MARGINS, difference, learnt
from attnbench.claims._runs import BUDGET, SEEDS, SOFTMAX, Mechanism, On, arms, one_recipe, runs

if TYPE_CHECKING:
    import pandas as pd

LEARNT = 0.2  # least accuracy above guessing of softmax, without which it cannot be trailed
TASKS = (On("mqar", difficulty="pairs 16"),)
RULE = (
    "Residual models on mqar with 16 pairs, each of its two forms, causal and not, by itself. Reproduced: softmax is surely ahead of both "
    f"{{names}} by more than {MARGINS['accuracy']:g} of test accuracy, at 5 %, one-sided, by Welch's test. Partly: surely ahead, not "
    "surely by the margin; or of one of the two, or in one form, only. Not reproduced: surely ahead of neither by the margin. Where "
    f"softmax reaches less than {LEARNT:g} above guessing nothing is decided."
)


def of_mechanisms(others: Mapping[str, Mechanism]) -> dict[str, Any]:
    """The fields of a claim that these are behind softmax: what is compared and how."""
    mechanisms = {"softmax": SOFTMAX, **others}

    def query(table: pd.DataFrame) -> pd.DataFrame:
        return one_recipe(runs(table, mechanisms, TASKS, block="residual"), list(mechanisms))

    def decide(rows: pd.DataFrame) -> Decision:
        if not learnt(rows, "softmax", LEARNT):
            return "inconclusive", f"softmax does not reach {LEARNT:g} above guessing."
        found = {arm: difference(rows, "softmax", arm) for arm in others}
        said = "; ".join(told(f"softmax ahead of {arm} by", of, "of accuracy") for arm, of in found.items())
        return combined(ahead(of, MARGINS["accuracy"]) for of in found.values()), f"{said}."

    return {
        "power": power_text(SEEDS),
        "arms": arms(mechanisms, places=1),
        "query": query,
        "decide": decide,
        "apart": ("causal", BUDGET),
    }
