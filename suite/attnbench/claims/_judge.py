"""Judges a claim by a table of results: checks that the data its rule needs are there, and applies the rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.labels import setting_text
from attnbench.claim import BENCH, ROW, Arm, Claim, Decision, Standing, Verdict, combined
from attnbench.claims._history import standing_of
from attnbench.claims._seen import seen
from attnbench.errors import text_of

if TYPE_CHECKING:
    import pandas as pd


HOW = "attnbench run --preset claims"


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim and its standing, each with the reason.

    missing: the data that a firmer verdict needs; evidence: a row for each bench, arm and place.
    """

    verdict: Verdict
    why: str
    standing: Standing
    standing_why: str
    missing: tuple[str, ...]
    evidence: list[dict[str, Any]]


def judged(claim: Claim, table: pd.DataFrame, file: Path | None = None) -> Judgement:
    """As `judge`, but inconclusive where the claim's own code raises an error: a claim may be anybody's file."""
    try:
        return judge(claim, table, file)
    except Exception as error:
        why = f"Its query or rule failed: {type(error).__name__}: {text_of(error)}"
        return Judgement("inconclusive", why, "exploratory", "No record counts, for the rule failed.", (), [])


def judge(claim: Claim, table: pd.DataFrame, file: Path | None = None) -> Judgement:
    """Judge a claim by a frame of attnbench.load(curves=True), one part and bench at a time.

    Of a part "reproduced" and "not reproduced" mean: so on at least one bench, and nothing else on any; "partly": so on one, or benches
    disagree, for then it is reproduced in one of its settings; "inconclusive": none has the data, or none decides. On a bench where a cell
    of an arm failed, "reproduced" becomes "inconclusive". Of several parts see claim.combined. file: the claim's, of which the standing is.

    Raises ValueError when the query leaves out a column.
    """
    rows = claim.query(table)
    parts = list(dict.fromkeys(arm.part for arm in claim.arms))
    columns = [*BENCH, *claim.apart, *(["part"] if parts != [""] else []), *ROW]
    if lacking := [name for name in columns if name not in rows.columns]:
        raise ValueError(f"the query gives no column {', '.join(lacking)}; it must give {', '.join(columns)}")
    rows = rows.sort_values(columns, kind="stable", key=lambda column: column.map(_key))
    if rows["value"].isna().all():
        standing, why = standing_of(file, ())
        return Judgement("inconclusive", "There is no record of it.", standing, why, tuple(_wanting(arm, 0) for arm in claim.arms), [])
    verdicts: list[Verdict] = []
    told: list[str] = []
    missing: list[str] = []
    evidence: list[dict[str, Any]] = []
    counted: set[str] = set()
    for part in parts:
        arms = tuple(arm for arm in claim.arms if arm.part == part)
        of_part: list[Decision] = []
        own = rows if parts == [""] else rows[(rows["part"] == part).to_numpy()]
        if own["value"].isna().all():
            missing += [_wanting(arm, 0) for arm in arms]
        for bench, here in own.groupby([*BENCH, *claim.apart], sort=False, dropna=False):
            where = dict(zip((*BENCH, *claim.apart), bench, strict=True)) | ({"part": part} if part else {})
            name = setting_text(where)
            full, wanting = _complete(here.dropna(subset=["value"]), arms)
            failed = _failures(here, arms)
            evidence += _evidence(here.dropna(subset=["value"]), full, arms, where)
            missing += [f"{name}: {what}" for what in (*wanting, *failed)]
            if not wanting:
                verdict, why = claim.decide(full)
                if failed and verdict == "reproduced":
                    verdict, why = "inconclusive", f"{why} But some of it failed."
                of_part.append((verdict, f"{name}: {why}"))
                counted |= set(full["id"])
        verdicts.append(_over_benches([verdict for verdict, _ in of_part]))
        disagree = len({verdict for verdict, _ in of_part} - {"inconclusive"}) > 1
        told += [*(["Benches disagree."] if disagree else []), *(why for _, why in of_part)]
    verdict = combined(verdicts)
    standing, why = standing_of(file, seen(table, counted) if counted else ())
    said = " ".join(told) or "What there is does not suffice."
    return Judgement(verdict, said, standing, why, tuple(missing) if verdict == "inconclusive" else (), evidence)


def _over_benches(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict that follows from those of all benches; one that is open changes nothing where another is firm."""
    return combined([verdict for verdict in verdicts if verdict != "inconclusive"] or ["inconclusive"])


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


def _evidence(rows: pd.DataFrame, full: pd.DataFrame, arms: Sequence[Arm], bench: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm and place; `counted` says whether the rule used it."""
    axes: dict[Any, str] = {arm.name: arm.axis for arm in arms}
    counted = set(zip(full["arm"], full["at"], strict=True))
    found = []
    for (arm, at), own in rows.groupby(["arm", "at"], sort=False):
        first, values = own.iloc[0], own["value"]
        found.append(
            {
                "bench": {name: _plain(value) for name, value in bench.items()},
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
