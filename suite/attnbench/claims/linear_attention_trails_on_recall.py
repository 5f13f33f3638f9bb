"""Linear attention, whose state has a fixed size, is behind softmax attention at recalling what stands in its context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.claim import Claim, Decision, combined
from attnbench.claims._findings import ahead, power_text, told
from attnbench.claims._leads import MARGINS, difference, learnt
from attnbench.claims._runs import COUNTED, SEEDS, SOFTMAX, Mechanism, On, arms, one_recipe, runs

if TYPE_CHECKING:
    import pandas as pd

LINEAR = {"linear_elu": Mechanism("linear_elu"), "taylor": Mechanism("taylor")}
LEARNT = 0.2  # least accuracy above guessing of softmax, without which it cannot be trailed
TASKS = (On("mqar", difficulty="pairs 16"),)


def query(table: pd.DataFrame) -> pd.DataFrame:
    mechanisms = {"softmax": SOFTMAX, **LINEAR}
    return one_recipe(runs(table, mechanisms, TASKS, block="residual"), list(mechanisms))


def decide(rows: pd.DataFrame) -> Decision:
    if not learnt(rows, "softmax", LEARNT):
        return "inconclusive", f"softmax does not reach {LEARNT:g} above guessing."
    found = {arm: difference(rows, "softmax", arm) for arm in LINEAR}
    said = "; ".join(told(f"softmax ahead of {arm} by", of, "of accuracy") for arm, of in found.items())
    return combined(ahead(of, MARGINS["accuracy"]) for of in found.values()), f"{said}."


CLAIM = Claim(
    statement="Linear attention, whose state has a fixed size, trails softmax attention on recall.",
    quote="We show that efficient alternatives to attention (e.g. H3, Mamba, RWKV) maintain a fixed-size recurrent state, but struggle at "
    "recall.",
    citation="Arora, Eyuboglu, Zhang and others 2024, Simple linear attention language models balance the recall-throughput tradeoff",
    source="arXiv 2402.18668 v2",
    evaluated="Recall of key-value pairs (MQAR) and language models of up to 1.3B parameters, all causal; recall against the size of the "
    "state.",
    rule=f"{COUNTED} Residual models on mqar with 16 pairs, each of its two forms, causal and not, by itself. Reproduced: softmax is "
    f"surely ahead of both linear_elu and taylor by more than {MARGINS['accuracy']:g} of test accuracy, at 5 %, one-sided, by Welch's "
    "test. Partly: surely ahead, not surely by the margin; or of one of the two, or in one form, only. Not reproduced: surely ahead of "
    f"neither by the margin. Where softmax reaches less than {LEARNT:g} above guessing nothing is decided.",
    power=power_text(SEEDS),
    arms=arms(("softmax", *LINEAR), places=1),
    query=query,
    decide=decide,
    apart=("causal",),
)
