"""The comparison page: a row for each setting, and a column for each mechanism that the reader chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attnbench.analysis.labels import clip
from attnbench.analysis.number_format import digits, rank_text, ratio, seconds, size
from attnbench.analysis.ranking import What
from attnbench.analysis.samples import BASELINE
from attnbench.analysis.standing import Standing
from attnbench.analysis.task_metrics import metric_of
from attnbench.stats import Resolution
from attnbench.store.metrics import higher_is_better
from attnbench.store.record import Record
from attnbench.website.groups import Axis, Group, chunk_name
from attnbench.website.links import cell_href
from attnbench.website.results import Results
from attnbench.website.tables.resolution import against_itself, percent_text
from attnbench.website.tables.table import EMPTY, Cell, Column, Table, Value, bounds_data, interval_text, status_cell
from attnbench.website.view import View

USUAL = ("softmax", "orthogonal", "polynomial")
NOTES = (
    "Better, worse or undecided: against the first of the chosen mechanisms, by the tests that the ranks rest on. Undecided is not equal: "
    "the data do not tell the two apart.",
    "Each number leads to its cell; its rank is among all mechanisms of the setting.",
)
Row = tuple[str, str, Sequence[Record]]  # the two lines of the row's header, and the records of one setting


def views(results: Results) -> list[View]:
    """Time and memory of every kernel and depth setting, and results of every task."""
    found = []
    for track in ("kernel", "depth"):
        for group in results.groups(track):
            rows = _sizes(group)
            for what, label in (("time", "time"), ("memory", "peak memory")):
                axes = (Axis("track", track, track), *group.axes, Axis("measure", what, label))
                found.append(
                    _view(results, axes, rows, "time" if what == "time" else "memory", f"{label}, {track} · {group.title}", group.name)
                )
    tasks: dict[tuple[Axis, ...], list[Group]] = {}
    for group in results.groups("task"):
        tasks.setdefault(group.device, []).append(group)
    for device, groups in tasks.items():
        rows = [(str(group.records[0].spec.task), _stack(group), group.records) for group in groups]
        axes = (Axis("track", "task", "task"), *device)
        title = f"test results · {', '.join(axis.label for axis in device)}"
        found.append(_view(results, axes, rows, "result", title, chunk_name("task", device)))
    return found


def _sizes(group: Group) -> list[Row]:
    """A row for each mode and length, or block and depth."""
    found: dict[tuple[str, int], list[Record]] = {}
    for record in group.records:
        s = record.spec
        found.setdefault((s.block or s.mode, s.num_layers or s.seq_len or 0), []).append(record)
    name = "seq_len" if group.records[0].spec.track == "kernel" else "num_layers"
    return [(f"{name} {at:,}", kind, records) for (kind, at), records in sorted(found.items(), reverse=True)]


def _stack(group: Group) -> str:
    """The text that distinguishes a setting from other settings of the same task."""
    told = ("block", "num_layers", "token_shift", "init_norm", "positions", "weight_decay", "causal", "protocol", "recipe")
    return ", ".join(axis.label for axis in group.axes if axis.name in told and not axis.usual)


def _view(results: Results, axes: tuple[Axis, ...], rows: Sequence[Row], what: What, title: str, chunk: str) -> View:
    labels = sorted({results.label(r) for _, _, records in rows for r in records}, key=lambda label: ((*USUAL, label).index(label), label))
    firsts = {results.label(r): r for _, _, records in rows for r in records}
    columns = [Column("Setting", kind="text")]
    columns += [Column(clip(label, 40), kind=f"number v-{results.styles[firsts[label].spec.variant].slug}") for label in labels]
    cells, data, places = [], list[dict[str, Value]](), []
    for head, small, records in rows:
        mine = {results.label(r): r for r in reversed(records)}
        standings = results.standings.places(what, records[0])
        resolution = results.standings.resolution(records[0]) if what == "time" else None
        apart = f", differences below {percent_text(resolution.factor)} undecided" if resolution else ""
        cells.append(
            [
                Cell(head, small + apart, kind="head"),
                *(_cell(mine.get(label), standings.get(label), what, resolution if label == BASELINE else None) for label in labels),
            ]
        )
        told: dict[str, Value] = {"setting": f"{head}, {small}"}
        for label in labels:
            place = standings.get(label)
            told |= bounds_data(label, place.interval if place else None)
        data.append(told)
        places.append([_place(standings.get(label), labels) for label in labels])
    table = Table(f"{title[:1].upper()}{title[1:]}", columns, cells, NOTES, data)
    extra = {"labels": labels, "usual": [label for label in USUAL if label in labels] or labels[:3], "places": places}
    return View(axes, [table], title, chunk, extra)


def _place(standing: Standing | None, labels: Sequence[str]) -> Any:
    """The columns that a mechanism cannot be told from, and a score, the smaller the better; None without a rank."""
    if standing is None or standing.rank is None or standing.interval is None:
        return None
    tied = set(standing.ties)
    sign = -1 if higher_is_better(standing.metric) else 1
    return [[column for column, label in enumerate(labels) if label in tied], sign * standing.interval.value]


def _cell(record: Record | None, standing: Standing | None, what: What, resolution: Resolution | None) -> Cell:
    """The cell of a mechanism in a setting. resolution: of softmax's times that of the setting, which is its interval against itself."""
    if record is None or standing is None:
        return EMPTY
    if record.status != "ok":
        return status_cell(record)
    if standing.interval is None:
        return Cell("not measured", kind="number none")
    show = _shown(record, standing, what)
    rank = f"rank {rank_text(standing.rank)}" if standing.rank else (standing.why or "no rank")
    is_ratio = standing.metric.endswith("_ratio")
    interval = against_itself(resolution, standing.interval) if is_ratio else standing.interval
    bounds = f"{interval_text(interval, digits if is_ratio else show)} · " if what != "memory" else ""
    return Cell(show(standing.interval.value), bounds + clip(rank, 40), href=cell_href(record))


def _shown(record: Record, standing: Standing, what: What) -> Any:
    if what == "memory":
        return size
    if what == "result":
        return metric_of([record]).told
    return ratio if standing.metric.endswith("_ratio") else seconds
