"""Training runs that claims compare: which count, and what they scored.

Counted are tuned runs of PROTOCOL, with as many seeds as it asks of a claim: those of the budget that the pilot chose for the task, and
apart from these those of twice that, at the rates of the budget. A run of another budget counts for nothing, so that nobody can choose one
by what it shows. Of several shapes of a task, the one in which all arms have most seeds counts. A run that diverged has learnt nothing: it
counts as the share of the most frequent answer, or as the bits of knowing how frequent each is.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnbench.analysis.settings import TUNED
from attnbench.analysis.task_metrics import METRICS
from attnbench.claim import BENCH, ROW, Arm, budget, join, measured, protocol

if TYPE_CHECKING:
    import pandas as pd

PROTOCOL = protocol("2026-12")  # never the newest: that would be another rule some day
SEEDS = PROTOCOL.claim_seeds
NOTHING = {"accuracy": "majority_share", "bits_per_byte": "unigram_bits"}  # what is scored without having learnt anything
_READ = (
    "causal", "task", "task_params", "label", "init_norm", "weight_decay", "metric", "session", "started_at", "attnbench_commit", "dirty",
)  # fmt: skip
_RECIPE = ("num_layers", "batch_size", "num_heads", "head_dim", "data")
COUNTED = (
    f"Tuned runs of protocol {PROTOCOL.name} with {SEEDS} seeds of every arm, of the budget that its pilot chose for the task. Runs of "
    "twice that, at the same rates, are judged apart; it is partly so where the two differ."
)
BUDGET = "budget"  # the column of `apart` in which these two differ
_ADDED = ("arm", "at", BUDGET, "better", "task_metric", "nothing", "blocks", "asked")  # the columns that `runs` adds
TWICE = "twice the budget"
DECAYS = (0.05, 0.0, 0.1)  # the usual weight decay, and those of the claims that the norms of weights bear on, judged apart


@dataclass(frozen=True)
class On:
    """A task, at a difficulty ("patch 2"; "" for its own), and its metric."""

    task: str
    metric: str = "accuracy"
    difficulty: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.task, self.difficulty)))


@dataclass(frozen=True)
class Mechanism:
    """A mechanism by its label, with axes of its own such as init_norm."""

    label: str
    axes: Mapping[str, Any] = field(default_factory=dict)


SOFTMAX = Mechanism("softmax")
CONTROLS = {name: Mechanism(name) for name in ("identity", "uniform")}  # what is learnt without a choice of tokens
CUBIC, QUADRATIC = Mechanism("polynomial"), Mechanism('polynomial(degree=2, scale="learned")')
POLYNOMIALS = {"x³/√N": CUBIC, "x², learned scale": QUADRATIC}
VISION = (On("mnist", difficulty="patch 2"), On("fashion_mnist", difficulty="patch 2"))
CLASSIFICATION = (On("sotu_era"),)
LANGUAGE = (On("sotu_mlm", "bits_per_byte"),)
FAMILIES = {"vision": VISION, "sequence classification": CLASSIFICATION, "byte language": LANGUAGE}


def arms(names: Iterable[str], places: int, axis: str = "task", part: str = "") -> tuple[Arm, ...]:
    """Arms of training runs."""
    return tuple(Arm(name, axis, places, seeds=SEEDS, part=part) for name in names)


def runs(table: pd.DataFrame, mechanisms: Mapping[str, Mechanism], tasks: Sequence[On], of: str = "", **where: Any) -> pd.DataFrame:
    """The runs of mechanisms on tasks, a row each.

    Columns beside the usual ones: `budget`, see budgets; `better`, 1, or -1 where less is better; `blocks` and `asked`, the scores and the
    questions of blocks of test rows; `nothing`, what is scored without having learnt anything; `task_metric`. mechanisms: by the name of
    the arm. of: what to read in place of the test metric, "at_2x" for longer sequences. where: see `measured`; the values of an axis by
    which mechanisms differ are given there too.
    """
    table = counted_only(table, [name for on in tasks for name in _read(on, of)])
    if table.empty:  # as in every store without such runs, for each of the claims
        return _narrow(table.assign(label="")).assign(**dict.fromkeys(_ADDED))
    where = {"protocol": PROTOCOL.name, "label": tuple({each.label for each in mechanisms.values()}), **where}
    by_budget = [_runs(part, mechanisms, tasks, of, {**where, **axes}).assign(budget=name) for name, part, axes in budgets(table)]
    return join(by_budget)


def budgets(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, dict[str, object]]]:
    """The budgets that are judged apart: the name, "" for the task's own, the rows, and what `measured` is to be asked for."""
    tuned_at, chosen = table["tuned_epochs"], _chosen_epochs(table)
    yield "", table[(tuned_at.isna() & (table["epochs"] == chosen)).to_numpy()], {"rate": TUNED}
    twice = table[((tuned_at == chosen) & (table["epochs"] == 2 * tuned_at)).to_numpy()]
    if len(twice):
        yield TWICE, twice, {"tuned_epochs": tuple(twice["tuned_epochs"].unique())}


def _chosen_epochs(table: pd.DataFrame) -> NDArray[np.float64]:
    """Of each row the epochs that the pilot chose for its task in its form, NaN where it has chosen none."""
    rows = list(zip(table["task"], table["task_params"].fillna(""), table["causal"], strict=True))
    found = {row: budget(*row) for row in set(rows)}
    return np.array([found[row] or np.nan for row in rows], dtype=float)


def _runs(table: pd.DataFrame, mechanisms: Mapping[str, Mechanism], tasks: Sequence[On], of: str, where: dict[str, object]) -> pd.DataFrame:
    """The runs of one budget."""
    found = []
    for metric in dict.fromkeys(on.metric for on in tasks):
        alike = [on for on in tasks if on.metric == metric]
        rows = _filled(table, alike[0], of, {**where, "task": tuple(on.task for on in alike)})
        places = defaultdict[tuple[object, ...], list[int]](list)
        whose = zip(rows["label"], rows["init_norm"], rows["task"], rows["task_params"].fillna(""), strict=True)
        for place, key in enumerate(whose):
            places[key].append(place)
        arms = [
            (place, name, str(on))
            for on, (name, each) in itertools.product(alike, mechanisms.items())
            for place in places[each.label, each.axes.get("init_norm", 1.0), on.task, on.difficulty]
        ]
        own, names, tasks_of = zip(*arms, strict=True) if arms else ((), (), ())
        better = 1.0 if METRICS[metric].more_is_better else -1.0
        mine = rows.iloc[list(own)].assign(better=better, task_metric=metric, arm=_objects(names), at=_objects(tasks_of))
        found.append(mine)
    return join(found)


def families(table: pd.DataFrame, mechanisms: Mapping[str, Mechanism], parts: Iterable[str], **where: Any) -> pd.DataFrame:
    """The runs of mechanisms on the tasks of some families, each in one shape, with the family in the column part."""
    table = counted_only(table, [name for part in parts for on in FAMILIES[part] for name in _read(on)])  # once for all
    found = [runs(table, mechanisms, FAMILIES[part], block="residual", **where).assign(part=part) for part in parts]
    return join([one_recipe(rows, list(mechanisms)) for rows in found])


def tokens_of(table: pd.DataFrame, rows: pd.DataFrame) -> list[float]:
    """Of the record of each row how many tokens a row of its task has, NaN where it does not say."""
    return _first(table, "row_tokens", rows)


def counted_only(table: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """The rows of training runs by PROTOCOL that hold one of these metrics, or have failed: a small part of a large table.

    A rate at the edge of what was tried is not tuned, and its run does not count.
    """
    mine = ((table["track"] == "task") & (table["protocol"] == PROTOCOL.name) & (table["at_edge"] != 1.0)).to_numpy()
    return table[mine & (table["metric"].isin(set(metrics)) | (table["status"] != "ok")).to_numpy()]


def _read(on: On, of: str = "") -> tuple[str, ...]:
    """The metrics that are read of a task: the one compared first, the share of nothing learnt and whether it diverged last."""
    return f"{on.metric}_{of}" if of else on.metric, f"{on.metric}_by_block", "asked_by_block", NOTHING[on.metric], "diverged"


def _filled(table: pd.DataFrame, on: On, of: str, where: Mapping[str, object]) -> pd.DataFrame:
    """The rows of a metric, with what is in other metrics of the same records.

    One that diverged counts as knowing nothing, in each block of test rows too, whatever number was stored of it.
    """
    metric, blocks, asked, nothing, diverged = _read(on, of)
    rows = _narrow(measured(table, "task", metric, **where))  # type: ignore[arg-type]
    gone = set[tuple[str, ...]]()
    if ((table["metric"] == diverged) & (table["value"] == 1.0)).any():
        told = _narrow(measured(table, "task", diverged, **where))  # type: ignore[arg-type]
        lost = told[(told["value"] == 1.0).to_numpy()]
        gone = set(_record(lost))
        kept = rows[np.array([key not in gone for key in _record(rows)], dtype=bool)]
        rows = join([kept, lost.assign(value=_first(table, nothing, lost), metric=metric)])
    whole = metric == on.metric  # the blocks are those of the test part itself
    given = {name: _samples(table, of, rows) if whole else [None] * len(rows) for name, of in (("blocks", blocks), ("asked", asked))}
    known = _first(table, nothing, rows)
    scored = [
        [base] * len(of_asked) if key in gone and of_asked else own
        for key, own, of_asked, base in zip(_record(rows), given["blocks"], given["asked"], known, strict=True)
    ]
    return rows.assign(nothing=known, blocks=_objects(scored), asked=_objects(given["asked"]))


def _narrow(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns that rules and the judge read: most of the time of a table of sixty columns is spent on copying them."""
    return rows[[*dict.fromkeys((*BENCH, *_RECIPE, *_READ, *(name for name in ROW if name in rows.columns)))]]


def _record(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """What tells the record of each row from all others."""
    return list(zip(*(rows[name].astype(str) for name in ("id", "session", "started_at")), strict=True))


def _samples(table: pd.DataFrame, metric: str, rows: pd.DataFrame) -> list[Any]:
    """Of the record of each row the samples of another metric; None where it has none."""
    own = table[(table["metric"] == metric).to_numpy()]
    found = dict(zip(_record(own), own["samples"], strict=True))
    return [found.get(key) for key in _record(rows)]


def _first(table: pd.DataFrame, metric: str, rows: pd.DataFrame) -> list[float]:
    """Of the record of each row the first sample of another metric, NaN where it has none."""
    return [samples[0] if samples else np.nan for samples in _samples(table, metric, rows)]


def _objects(values: Sequence[object]) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def one_recipe(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Of each task the rows of one shape of the model: that in which the arms have most seeds, up to those needed."""
    kept = []
    for _, own in rows.groupby([*BENCH, "causal", "at", BUDGET], dropna=False, sort=False):
        recipes = [of for _, of in own.groupby(list(_RECIPE), dropna=False, sort=True)]
        kept.append(recipes[0] if len(recipes) == 1 else max(recipes, key=lambda of: min(SEEDS, *(_seeds(of, name) for name in names))))
    return join(kept or [rows])


def _seeds(rows: pd.DataFrame, arm: str) -> int:
    return int(rows[((rows["arm"] == arm) & rows["value"].notna()).to_numpy()]["seed"].nunique())
