"""Judges a claim by a table of results: checks that the data its rule needs are there, and applies the rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.labels import setting_text
from attnbench.claim import BENCH, ROW, Arm, Claim, Decision, Verdict
from attnbench.errors import text_of

if TYPE_CHECKING:
    import pandas as pd


HOW = "attnbench run --preset claims"


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, with the reason.

    missing: the data that a firmer verdict needs; evidence: a row for each bench, arm and place.
    """

    verdict: Verdict
    why: str
    missing: tuple[str, ...]
    evidence: list[dict[str, Any]]


def judged(claim: Claim, table: pd.DataFrame) -> Judgement:
    """As `judge`, but inconclusive where the claim's own code raises an error: a claim may be anybody's file."""
    try:
        return judge(claim, table)
    except Exception as error:
        return Judgement("inconclusive", f"Its query or rule failed: {type(error).__name__}: {text_of(error)}", (), [])


def judge(claim: Claim, table: pd.DataFrame) -> Judgement:
    """Judge a claim by a frame of attnbench.load(curves=True), one bench at a time.

    "reproduced": on at least one bench, and "not reproduced" on none. "not reproduced": on at least one bench, and "reproduced" on none.
    "inconclusive": benches disagree, or none has the data. On a bench where a cell of an arm failed, "reproduced" becomes "inconclusive".

    Raises ValueError when the query leaves out a column.
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
    """The judgement that follows from the decisions of all benches."""
    verdicts = {verdict for verdict, _ in decisions}
    why = " ".join(why for _, why in decisions)
    if not decisions:
        return Judgement("inconclusive", "What there is does not suffice.", tuple(missing), evidence)
    if verdicts >= {"reproduced", "not reproduced"}:
        return Judgement("inconclusive", f"Benches disagree. {why}", (), evidence)
    firm: Verdict = next((v for v in ("reproduced", "not reproduced") if v in verdicts), "inconclusive")
    return Judgement(firm, why, tuple(missing) if firm == "inconclusive" else (), evidence)


def _complete(rows: pd.DataFrame, arms: Sequence[Arm]) -> tuple[pd.DataFrame, list[str]]:
    """The rows that a rule may use, and what is missing.

    Kept are the seeds that every arm has at enough places, and the places that have all of these seeds. So a rule may pair arms and places
    by seed, and always has as many pairs as there are seeds.
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
    """A text for each failed cell of the arms that must not fail, and for each incorrect cell of the others."""
    axes = {arm.name: arm.axis for arm in arms}
    excused = {arm.name for arm in arms if arm.may_fail}
    failed = rows[(rows["value"].isna() & (~rows["arm"].isin(excused) | (rows["status"] == "incorrect"))).to_numpy()]
    told = zip(failed["arm"], failed["at"], failed["seed"], failed["status"], strict=True)
    return list(dict.fromkeys(f"{arm}: {status} at {axes.get(arm, '')} {_plain(at)}, seed {seed}" for arm, at, seed, status in told))


def _wanting(arm: Arm, places: int) -> str:
    return f"{arm.name}: {places} of {arm.places} {arm.axis} with {arm.seeds} seeds"


def _evidence(rows: pd.DataFrame, full: pd.DataFrame, claim: Claim) -> list[dict[str, Any]]:
    """A row for each arm and place; `counted` says whether the rule used it."""
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


def _plain(value: Any) -> Any:
    """A value as plain JSON: None for a missing value, an int for a whole number."""
    if value is None or value != value:
        return None
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _key(value: object) -> tuple[bool, str, float]:
    """Sort key of a value in a column: numbers by size, then other values by their text, then missing values."""
    missing = value is None or value != value
    number = isinstance(value, (int, float)) and not missing
    return missing, "" if number or missing else str(value), float(value) if number else 0.0  # type: ignore[arg-type]
