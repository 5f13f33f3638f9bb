"""The contract of a claim: what a paper says, which numbers bear on it, and the rule by which they decide, fixed before they are seen.

A claim's file ends in `CLAIM = Claim(...)`. The rule cannot be reached without the data that it needs: who judges is `judge` here, and it
asks first whether every arm has enough seeds at enough places. What is missing makes a claim inconclusive, never reproduced and never
refuted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.settings import comparable, needed_rows
from attnbench.cli.terminal import setting_text
from attnbench.errors import text_of

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["reproduced", "not reproduced", "inconclusive"]
Decision = tuple[Verdict, str]

SEEDS = 3  # the least that any claim may ask for
BENCH = ("machine", "device", "dtype", "torch")  # never mixed in one judgement
ROW = ("arm", "at", "seed", "value", "unit", "id", "status")
FAILED = ("oom", "timeout", "error", "incorrect")
HOW = "attnbench run --preset claims"


@dataclass(frozen=True)
class Arm:
    """One of the things that a claim compares, and how much of it there must be: distinct places with enough distinct seeds at each.

    axis: what the places are, "seq_len" for example. may_fail: whether cells of it that ran out of memory or time, or ended in an error,
    are nothing against the claim; those that were incorrect always are.
    """

    name: str
    axis: str
    places: int
    seeds: int = SEEDS
    may_fail: bool = False

    def __post_init__(self) -> None:
        if self.seeds < SEEDS or self.places < 1:
            raise ValueError(f"the arm {self.name!r} asks for {self.seeds} seeds at {self.places} places; at least {SEEDS} at 1 are needed")


@dataclass(frozen=True)
class Claim:
    """What a paper claims, and how it is judged.

    statement: the claim, in a sentence.
    citation: the paper; as_reported: true where the claim was read in a secondary source, and is not verified to stand in the paper.
    rule: the decision rule in words, with its numbers.
    arms: what has to be there.
    query: from a frame of attnbench.load(curves=True) to the rows that bear on the claim, one for each measurement, with the columns BENCH,
           ROW and those of `apart`, and whatever `decide` needs besides. What failed is among them, without a value; see `measured`.
    decide: from the rows of one bench, which hold every arm in full, to a verdict and the reason in a sentence.
    apart: further columns whose values are judged apart from each other, such as the task.
    """

    statement: str
    citation: str
    rule: str
    arms: tuple[Arm, ...]
    query: Callable[[pd.DataFrame], pd.DataFrame]
    decide: Callable[[pd.DataFrame], Decision]
    apart: tuple[str, ...] = ()
    as_reported: bool = False


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, why, what is missing for a firmer one, and the evidence: a row for each bench, arm and place."""

    verdict: Verdict
    why: str
    missing: tuple[str, ...]
    evidence: list[dict[str, Any]]


def judged(claim: Claim, table: pd.DataFrame) -> Judgement:
    """As `judge`; of a claim whose own code breaks on these data, that it did, for it may be anybody's file."""
    try:
        return judge(claim, table)
    except Exception as error:
        return Judgement("inconclusive", f"Its query or rule failed: {type(error).__name__}: {text_of(error)}", (), [])


def judge(claim: Claim, table: pd.DataFrame) -> Judgement:
    """Judge a claim by a frame of attnbench.load(curves=True), one bench at a time.

    Reproduced: on at least one bench, and on none not reproduced; the other way round not reproduced. Where benches disagree, or none has
    the data, it is inconclusive, and so it is where the rule would say reproduced while a cell of an arm failed. Raises ValueError when the
    query leaves out a column.
    """
    rows = claim.query(table)
    columns = [*BENCH, *claim.apart, *ROW]
    if lacking := [name for name in columns if name not in rows.columns]:
        raise ValueError(f"the query gives no column {', '.join(lacking)}; it must give {', '.join(columns)}")
    rows = rows.sort_values(columns, kind="stable", key=lambda column: column.map(_key))
    if rows["value"].isna().all():
        return Judgement("inconclusive", "There is no record of it.", tuple(_wanting(arm, 0) for arm in claim.arms), [])
    decisions: list[Decision] = []
    missing: list[str] = []
    evidence: list[dict[str, Any]] = []
    for name, own in rows.groupby([*BENCH, *claim.apart], sort=False, dropna=False):
        bench = setting_text(dict(zip((*BENCH, *claim.apart), name, strict=True)))
        full, wanting = _complete(own.dropna(subset=["value"]), claim.arms)
        failed = _failures(own, claim.arms)
        evidence += _evidence(own.dropna(subset=["value"]), full, claim)
        missing += [f"{bench}: {what}" for what in (*wanting, *failed)]
        if not wanting:
            verdict, why = claim.decide(full)
            if failed and verdict == "reproduced":
                verdict, why = "inconclusive", f"{why} But some of it failed."
            decisions.append((verdict, f"{bench}: {why}"))
    return _joined(decisions, missing, evidence)


def _joined(decisions: Sequence[Decision], missing: Sequence[str], evidence: list[dict[str, Any]]) -> Judgement:
    """One judgement of those of all benches."""
    verdicts = {verdict for verdict, _ in decisions}
    why = " ".join(why for _, why in decisions)
    if not decisions:
        return Judgement("inconclusive", "What there is does not suffice.", tuple(missing), evidence)
    if verdicts >= {"reproduced", "not reproduced"}:
        return Judgement("inconclusive", f"Benches disagree. {why}", (), evidence)
    firm: Verdict = next((v for v in ("reproduced", "not reproduced") if v in verdicts), "inconclusive")
    return Judgement(firm, why, tuple(missing) if firm == "inconclusive" else (), evidence)


def _complete(rows: pd.DataFrame, arms: Sequence[Arm]) -> tuple[pd.DataFrame, list[str]]:
    """The rows of those seeds that every arm has at enough places, at the places that have them all; and what is missing.

    So a rule may pair arms and places by seed, and always has as many pairs as there are seeds.
    """
    had: dict[str, dict[Any, set[int]]] = {arm.name: {} for arm in arms}
    for arm, at, seed in zip(rows["arm"], rows["at"], rows["seed"], strict=True):
        had.setdefault(arm, {}).setdefault(at, set()).add(seed)
    seeds = set(rows["seed"])
    for each in arms:
        seeds = {seed for seed in seeds if sum(seed in of for of in had[each.name].values()) >= each.places}
    wanting, kept = [], np.zeros(len(rows), dtype=bool)
    for each in arms:
        whole = [at for at, of in had[each.name].items() if len(of) >= each.seeds]
        paired = [at for at in whole if seeds <= had[each.name][at]] if len(seeds) >= each.seeds else []
        kept |= ((rows["arm"] == each.name) & rows["at"].isin(paired) & rows["seed"].isin(seeds)).to_numpy()
        if len(whole) < each.places:
            wanting.append(_wanting(each, len(whole)))
        elif len(paired) < each.places:
            wanting.append(f"{each.name}: {each.seeds} seeds that the others have too, at {each.places} {each.axis}")
    return rows[kept], wanting


def _failures(rows: pd.DataFrame, arms: Sequence[Arm]) -> list[str]:
    """What failed of the arms that must not."""
    axes = {arm.name: arm.axis for arm in arms}
    excused = {arm.name for arm in arms if arm.may_fail}
    failed = rows[(rows["value"].isna() & (~rows["arm"].isin(excused) | (rows["status"] == "incorrect"))).to_numpy()]
    told = zip(failed["arm"], failed["at"], failed["seed"], failed["status"], strict=True)
    return list(dict.fromkeys(f"{arm}: {status} at {axes.get(arm, '')} {_plain(at)}, seed {seed}" for arm, at, seed, status in told))


def _wanting(arm: Arm, places: int) -> str:
    return f"{arm.name}: {places} of {arm.places} {arm.axis} with {arm.seeds} seeds"


def _evidence(rows: pd.DataFrame, full: pd.DataFrame, claim: Claim) -> list[dict[str, Any]]:
    """A row for each arm and place; `counted` says whether the rule has seen it."""
    axes: dict[Any, str] = {arm.name: arm.axis for arm in claim.arms}
    counted = set(zip(full["arm"], full["at"], strict=True))
    found = []
    for (arm, at), own in rows.groupby(["arm", "at"], sort=False):
        first, values = own.iloc[0], own["value"]
        found.append(
            {
                "bench": {name: _plain(first[name]) for name in (*BENCH, *claim.apart)},
                **{"arm": arm, "axis": axes.get(arm, ""), "at": _plain(at), "seeds": int(own["seed"].nunique())},
                **{"value": float(values.median()), "low": float(values.min()), "high": float(values.max()), "unit": first["unit"]},
                **{"cells": sorted(set(own["id"])), "counted": (arm, at) in counted},
            }
        )
    return found


def measured(table: pd.DataFrame, track: str, metric: str, **where: object) -> pd.DataFrame:
    """The newest records of a track that have a metric, one row each, with their samples; times of flagged sessions left out.

    Those that ran out of memory or time, were wrong or ended in an error have a row too, without a value and samples: a claim is not
    reproduced by leaving them out.

    where: column=value, or a tuple of values, for example variant="softmax" or mode=("forward", "training"). Besides the columns of the
    frame there are `label` and `rate`, see comparable.comparable.
    """
    mask = (table["track"] == track).to_numpy()
    for name in (name for name in where if name in table.columns):
        mask = mask & table[name].isin(_tuple(where[name])).to_numpy()
    rows = comparable(table.iloc[needed_rows(table, np.flatnonzero(mask), metric)], track)
    for name in (name for name in where if name not in table.columns):
        rows = rows[rows[name].isin(_tuple(where[name])).to_numpy()]
    failed = rows[rows["status"].isin(FAILED).to_numpy()].drop_duplicates("record")
    found = rows[(rows["metric"] == metric).to_numpy() & (rows["status"] == "ok").to_numpy()]
    if metric.endswith("_s"):
        found = found[found["flagged"].isna().to_numpy()]
    return join([found, failed.assign(value=np.nan, samples=_empty(len(failed)), unit="")])


def _empty(count: int) -> NDArray[np.object_]:
    """So many empty lists of samples."""
    found = np.empty(count, dtype=object)
    for place in range(count):
        found[place] = []
    return found


def join(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several queries; those without any leave nothing behind but their columns."""
    import pandas as pd

    full = [part for part in parts if len(part)]
    return pd.concat(full, ignore_index=True) if full else parts[0]


def _tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _plain(value: Any) -> Any:
    """A value as JSON has it; missing is None, and a whole number is written as one."""
    if value is None or value != value:
        return None
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _key(value: object) -> tuple[bool, str, float]:
    """Orders what a column holds, numbers by size, whatever else it holds by its text, what is missing last."""
    missing = value is None or value != value
    number = isinstance(value, (int, float)) and not missing
    return missing, "" if number or missing else str(value), float(value) if number else 0.0  # type: ignore[arg-type]
