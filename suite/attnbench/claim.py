"""The contract of a claim: what a paper says, which numbers bear on it, and the rule by which they decide, fixed before they are seen.

A claim's file ends in `CLAIM = Claim(...)`. Its rule is applied only to complete data: `judge` (claims/_judge.py) first checks that every
arm has enough seeds at enough places. Missing data make a claim inconclusive, never reproduced and never refuted. A claim does not say what
its standing is: that follows from the history of its file and the commits of its records (claims/_history.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from attnbench import registry
from attnbench.analysis.settings import BENCH as BENCH  # never mixed in one judgement
from attnbench.analysis.settings import comparable, needed_rows, usual
from attnbench.errors import BadInput
from attnbench.spec import budgets
from attnbench.spec import protocol as protocols
from attnbench.store.metrics import is_time

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["reproduced", "partly", "not reproduced", "inconclusive"]
Standing = Literal["exploratory", "confirmatory"]
Decision = tuple[Verdict, str]

EXPLORATORY = "it is not shown that the rule stood, as it is now, before its data were measured"
SEEDS = 3  # the least that any claim may ask for
ROW = ("arm", "at", "seed", "value", "unit", "id", "status")
FAILED = ("oom", "timeout", "error", "incorrect")


@dataclass(frozen=True)
class Arm:
    """One of the things that a claim compares, with the data that it needs: distinct places, and distinct seeds at each.

    axis: what the places are, "seq_len" for example. may_fail: whether its cells may run out of memory or time, or end in an error, without
    counting against the claim; those that are incorrect always count. part: the part of the claim that it belongs to, such as a family of
    tasks. Parts have benches of their own and are judged one by one, and a claim needs all of them; "" where there is only one.
    """

    name: str
    axis: str
    places: int
    seeds: int = SEEDS
    may_fail: bool = False
    part: str = ""

    def __post_init__(self) -> None:
        if self.seeds < SEEDS or self.places < 1:
            raise ValueError(f"the arm {self.name!r} asks for {self.seeds} seeds at {self.places} places; at least {SEEDS} at 1 are needed")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper claims, and how it is judged.

    statement: the claim, in a sentence.
    quote: the paper's own words that it rests on; as_reported: true where they were read in a secondary source, and are not verified to
           stand in the paper.
    citation: authors, year and title; source: where it is and in which version, "arXiv 2410.18613 v3".
    evaluated: what the paper evaluated, in a sentence, so that a reader sees what is another setting here.
    question: whether this is our question, which the paper's claim raises, and not the paper's claim.
    rule: the decision rule in words, with its numbers.
    power: how large an effect this many seeds can decide.
    arms: the data that must be there.
    query: from a frame of attnbench.load(curves=True) to the rows that bear on the claim, one for each measurement, with the columns BENCH,
           ROW and those of `apart`, `part` if the arms have parts, and whatever `decide` needs besides. Failed cells are among them,
           without a value; see `measured`.
    decide: from the rows of one bench and part, which hold every arm in full, to a verdict and the reason in a sentence.
    apart: further columns, such as the task; rows that differ in one of them are judged separately.
    """

    statement: str
    quote: str
    citation: str
    source: str
    evaluated: str
    rule: str
    power: str
    arms: tuple[Arm, ...]
    query: Callable[[pd.DataFrame], pd.DataFrame]
    decide: Callable[[pd.DataFrame], Decision]
    apart: tuple[str, ...] = ()
    as_reported: bool = False
    question: bool = False

    def __post_init__(self) -> None:
        for name in ("statement", "quote", "citation", "source", "evaluated", "rule", "power"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise BadInput(f"the claim's {name} is {text!r}; give a text")
        if not isinstance(self.arms, tuple) or not self.arms or not all(isinstance(arm, Arm) for arm in self.arms):
            raise BadInput(f"the claim's arms are {self.arms!r}; give at least one Arm(...), in a tuple")
        for name in ("query", "decide"):
            if not callable(getattr(self, name)):
                raise BadInput(f"the claim's {name} is {getattr(self, name)!r}; give a function")

    @property
    def paper(self) -> str:
        """The paper with its source, as readers see it."""
        return f"{self.citation}, {self.source}"

    def told(self) -> dict[str, str]:
        """What it rests on, for readers: each text with its heading."""
        reported = ", as reported" if self.as_reported else ""
        return {
            f"Quote{reported}": f"“{self.quote}”",
            "Paper": self.paper,
            "Evaluated there": self.evaluated,
            "Rule": self.rule,
            "Power": self.power,
        }


def verdict_text(verdict: Verdict) -> str:
    """A verdict as readers see it: what is not reproduced is so in the setting of the records, which need not be the paper's."""
    return f"{verdict} in this setting" if verdict == "not reproduced" else verdict


def combined(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a claim that speaks of several things, such as arms or families, from the verdicts on each.

    The same as all, where they agree. "partly" where one of them is, or one is reproduced and another is not: whatever comes of those that
    are open, they can no longer agree. Else one is open, and so is the claim.

    >>> combined(["reproduced", "not reproduced", "inconclusive"]), combined(["reproduced", "inconclusive"])
    ('partly', 'inconclusive')
    """
    found = set(verdicts)
    if len(found) == 1:
        return found.pop()
    return "partly" if "partly" in found or {"reproduced", "not reproduced"} <= found else "inconclusive"


def protocol(name: str) -> protocols.Protocol:
    """The protocol of a name, a date, whose runs a rule counts: a rule names one, since the newest is another some day.

    Raises BadInput where there is none.
    """
    return protocols.load(name)


def budget(task: str, difficulty: str, causal: bool) -> int | None:
    """The epochs that the pilot chose for a task of the package at a difficulty, in one of its forms; None where it has chosen none."""
    if task not in registry.builtin("tasks"):
        return None
    forms = registry.field("tasks", task, "causal", default=(False,))
    return budgets.CHOSEN.get(budgets.key_at(task, difficulty, other_form=bool(causal) is not forms[0]))


def measured(table: pd.DataFrame, track: str, metric: str, by_timing: bool = False, **where: object) -> pd.DataFrame:
    """The newest records of a track that have a metric, one row each, with their samples, but without times of disturbed cells.

    Times of cells in which the machine's speed changed are among them: a claim asks for three processes at least, whose median one cannot
    move. Those that ran out of memory or time, were wrong or ended in an error have a row too, without a value and samples: a claim is not
    reproduced by leaving them out.

    by_timing: whether records of different timing rules stand beside each other, for a claim about costs, which then has "timing" in
    `apart`; else the newest counts, whatever its rule. Cells that are not usual, as padded ones are not, are among them only where `where`
    names the axis (analysis.labels.USUAL); a claim that asks for several values of it has it in `apart`. where: column=value, or a tuple of
    values, for example variant="softmax" or mode=("forward", "training"). Besides the columns of the frame there are `label` and `rate`,
    see analysis.settings.comparable.
    """
    mask = (table["track"] == track).to_numpy() & usual(table, but=where)
    for name in (name for name in where if name in table.columns):
        mask = mask & table[name].isin(_tuple(where[name])).to_numpy()
    needed = table.iloc[needed_rows(table, np.flatnonzero(mask), metric)]
    rows = comparable(needed if by_timing else needed.assign(timing=np.nan), track)
    for name in (name for name in where if name not in table.columns):
        rows = rows[rows[name].isin(_tuple(where[name])).to_numpy()]
    failed = rows[rows["status"].isin(FAILED).to_numpy()].drop_duplicates("record")
    found = rows[(rows["metric"] == metric).to_numpy() & (rows["status"] == "ok").to_numpy()]
    if is_time(metric):
        found = found[found["flagged"].isna().to_numpy()]
    return join([found, failed.assign(value=np.nan, samples=_empty(len(failed)), unit="")])


def _empty(count: int) -> NDArray[np.object_]:
    """An array of `count` empty lists, for rows without samples."""
    found = np.empty(count, dtype=object)
    for place in range(count):
        found[place] = []
    return found


def join(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several queries in one table; without any row, a table with the columns of the first."""
    import pandas as pd

    full = [part for part in parts if len(part)]
    return pd.concat(full, ignore_index=True) if full else parts[0]


def _tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)
