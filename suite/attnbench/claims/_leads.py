"""How far one mechanism is ahead of another: on a task, over a family of tasks, and beyond having learnt nothing.

rows: from `runs`, of which every arm has the seeds that the claim asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnbench.claims._runs import CONTROLS, PROTOCOL
from attnbench.stats import Difference, crossed_difference, family_difference, least_variance
from attnbench.stats.difference import LEVEL

if TYPE_CHECKING:
    import pandas as pd

MARGINS = PROTOCOL.margins
LEARNT = {"accuracy": 0.2, "bits_per_byte": 0.5}  # least beyond knowing nothing, by metric, of a model that can be compared with
TELLING = (
    f"A task counts where softmax is better than knowing nothing by at least {LEARNT['accuracy']:g} of accuracy, or "
    f"{LEARNT['bits_per_byte']:g} bits per byte, and surely ahead of the controls {' and '.join(CONTROLS)}. "
    "Where none does, nothing is decided."
)


def difference(rows: pd.DataFrame, arm: str, other: str, share: float = 1.0) -> Difference:
    """How far an arm is ahead of a share of another, on one task and in its metric; above zero it is better.

    With a share both are counted from what is scored without having learnt anything. By seeds and, where all runs say what they scored in
    the same blocks of test rows, by blocks.
    """
    arms, blocks = rows["arm"].to_numpy(), rows["blocks"].to_numpy()
    value, nothing, better = (rows[name].to_numpy(dtype=float) for name in ("value", "nothing", "better"))
    asked = [tuple(of) if of else None for of in rows["asked"]]
    in_blocks = asked[0] is not None and len(set(asked)) == 1 and all(of and len(of) == len(asked[0]) for of in blocks)
    weights = np.array(asked[0], dtype=float) / sum(asked[0]) if in_blocks and asked[0] else None
    by_seed = np.argsort(rows["seed"].to_numpy(), kind="stable")
    tables = []
    for name in dict.fromkeys([arm, other, *arms]):
        own = by_seed[arms[by_seed] == name]
        scores = np.array(blocks[own].tolist(), dtype=float) if weights is not None else value[own, None]
        base = nothing[own, None] if share != 1.0 else 0.0
        tables.append(better[own[0]] * (scores - base))
    if share != 1.0:
        tables[1] = share * tables[1]
    if weights is None:
        tables = [of[:, 0] for of in tables]
    return crossed_difference(tables[0], tables[1], weights, least_variance(tables, weights))


def family(rows: pd.DataFrame, arm: str, other: str) -> Difference:
    """How far an arm is ahead of another on average over the tasks, in the protocol's margins."""
    tasks = [own for _, own in rows.groupby("at", sort=True)]
    return family_difference([difference(own, arm, other) for own in tasks], [MARGINS[own["task_metric"].iloc[0]] for own in tasks])


def learnt(rows: pd.DataFrame, arm: str) -> bool:
    """Whether the mean of an arm on one task is better than having learnt nothing by LEARNT at least."""
    own = rows[(rows["arm"] == arm).to_numpy()]
    return bool((own["better"] * (own["value"] - own["nothing"])).mean() >= LEARNT[own["task_metric"].iloc[0]])


def telling(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows of the tasks that tell something about attention, see TELLING, and why those of the others do not count.

    rows: of tasks, each with the arms softmax, identity and uniform.
    """
    tasks = [(str(at), own) for at, own in rows.groupby("at", sort=True)]
    why = {at: said for at, own in tasks if (said := _untelling(own))}
    return rows[~rows["at"].isin(why).to_numpy()], " ".join(f"{at} does not count: {said}." for at, said in why.items())


def _untelling(rows: pd.DataFrame) -> str:
    """Why a task tells nothing about attention; empty where it does."""
    if not learnt(rows, "softmax"):
        return "softmax has not learnt it"
    near = [name for name in CONTROLS if difference(rows, "softmax", name).p_above() >= LEVEL]
    return f"softmax is not surely ahead of {' and '.join(near)}" if near else ""
