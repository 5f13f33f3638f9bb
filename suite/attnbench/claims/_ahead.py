"""What the claims share that one mechanism is ahead of others on a task that somebody has to have learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attnbench.claim import Decision, combined
from attnbench.claims._findings import ahead, told
from attnbench.claims._leads import LEARNT, MARGINS, difference, learnt
from attnbench.claims._power import power_of_ahead
from attnbench.claims._runs import BUDGET, SEEDS, SOFTMAX, Mechanism, On, arms, one_recipe, runs

if TYPE_CHECKING:
    import pandas as pd

LEAST = LEARNT["accuracy"]  # without which there is nothing to be ahead by
DEEP = 12  # layers
SURELY = f"by more than {MARGINS['accuracy']:g} of test accuracy, at 5 %, one-sided, by Welch's test"
RECALL = (
    f"Residual models on mqar with 16 pairs, {{form}}. Reproduced: softmax is surely ahead of both {{names}}, {SURELY}. "
    "Partly: surely ahead, not surely by the margin; or of one of the two only; or, where two forms are judged, in one only. "
    f"Not reproduced: surely ahead of neither by the margin. Where softmax reaches less than {LEAST:g} above guessing nothing is decided."
)


def at_recall(others: Mapping[str, Mechanism], **where: Any) -> dict[str, Any]:
    """The fields of a claim that softmax recalls better than others: what is compared and how. where: beside the block, see `runs`."""
    return _ahead("softmax", {"softmax": SOFTMAX, **others}, On("mqar", difficulty="pairs 16"), ("softmax",), block="residual", **where)


def in_deep_skipless(first: str, mechanisms: Mapping[str, Mechanism]) -> dict[str, Any]:
    """The fields of a claim that the first of some mechanisms trains deep skipless models better than the others."""
    return _ahead(first, mechanisms, On("mnist"), tuple(mechanisms), block="skipless", num_layers=DEEP)


def _ahead(first: str, mechanisms: Mapping[str, Mechanism], task: On, learners: tuple[str, ...], **where: Any) -> dict[str, Any]:
    """The fields of a claim that the first is ahead of the others. learners: those of which at least one has to have learnt."""

    def query(table: pd.DataFrame) -> pd.DataFrame:
        return one_recipe(runs(table, mechanisms, (task,), **where), list(mechanisms))

    def decide(rows: pd.DataFrame) -> Decision:
        if not any(learnt(rows, arm) for arm in learners):
            return "inconclusive", f"{' or '.join(learners)} does not reach {LEAST:g} above knowing nothing."
        found = {arm: difference(rows, first, arm) for arm in mechanisms if arm != first}
        said = "; ".join(told(f"{first} ahead of {arm} by", of, "of accuracy") for arm, of in found.items())
        return combined(ahead(of, MARGINS["accuracy"]) for of in found.values()), f"{said}."

    return {
        "power": power_of_ahead(SEEDS, others=len(mechanisms) - 1),
        "arms": arms(mechanisms, places=1),
        "query": query,
        "decide": decide,
        "apart": ("causal", BUDGET),
    }
