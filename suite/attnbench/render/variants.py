"""One page per mechanism: what it declares, and every cell with its numbers, status and command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnbench.attention import Variant
from attnbench.record import Record
from attnbench.render.metric import METRICS, metric_of
from attnbench.render.palette import Style
from attnbench.render.quantity import count, plain, seconds, size
from attnbench.render.results import Results, anchor, epochs, is_trial, positive, rates, single, status_word, values
from attnbench.render.tables import EMPTY, Cell, Column, Table, interval_text, power_text
from attnbench.render.view import View
from attnbench.spec import Spec

_ARXIV = re.compile(r"arXiv[ :]?(\d{4}\.\d{4,5})")
_SHOWN: dict[str, Callable[[float], str]] = {
    "peak_memory_bytes": size, "train_s": seconds, "time_to_target_s": seconds, "parameters": count, "mechanism_parameters": count,
    "diverged": lambda x: "yes" if x else "no",
    **{name: metric.told for metric in METRICS.values() for name in (metric.name, f"validation_{metric.name}", metric.chance)},
}  # fmt: skip
_ALREADY = ("forward_s", "training_s")


@dataclass(frozen=True)
class Detail:
    """One cell in full: where it stands on the page, what it was, what came out, how to repeat it."""

    anchor: str
    title: str
    status: str
    word: str
    reason: str
    metrics: Sequence[tuple[str, str, str]]
    facts: Sequence[tuple[str, str]]
    command: str


@dataclass(frozen=True)
class Sheet:
    """A mechanism's page."""

    name: str
    style: Style
    summary: str
    facts: Sequence[tuple[str, str, str]]
    summaries: Sequence[View]
    details: Sequence[tuple[str, Sequence[Detail]]]


def sheet(results: Results, name: str, summary: str) -> Sheet:
    """Everything known about one recorded mechanism."""
    mine = [r for r in results.records if r.spec.variant == name]
    details = [(track, [detail(results, r) for r in mine if r.spec.track == track]) for track in ("kernel", "depth", "task")]
    tables = [_overview([r for r in mine if r.spec.track == track and not is_trial(r)], track) for track in ("kernel", "depth", "task")]
    tables.append(_overview([r for r in mine if is_trial(r)], "trials"))
    return Sheet(
        name, results.styles[name], summary, facts(results.declared.get(name)),
        [View((), [table]) for table in tables if table.rows], [(track, found) for track, found in details if found],
    )  # fmt: skip


def facts(declared: Variant | None) -> list[tuple[str, str, str]]:
    """Name, value and link of everything a mechanism declares; nothing for one that is not registered here."""
    if declared is None:
        return []
    arxiv = _ARXIV.search(declared.citation)
    params = [f"{k} = {'chosen from the shape' if v is None else json.dumps(v, default=list)}" for k, v in sorted(declared.params.items())]
    found = [
        ("Formula", declared.formula, ""),
        ("Reference", declared.citation, f"https://arxiv.org/abs/{arxiv[1]}" if arxiv else ""),
        ("Family", declared.family, ""),
        ("Claimed time", f"grows as {power_text(declared.time_exponent)} in seq_len", ""),
        ("Claimed memory", f"grows as {power_text(declared.memory_exponent)} in seq_len", ""),
        ("Causal form", "yes" if declared.causal else "no; causal cells are skipped", ""),
        ("Rows sum to one", "yes" if declared.normalises_rows else "no", ""),
        ("Parameters", ", ".join(params) or "none", ""),
        ("Needs", ", ".join(declared.needs) or "nothing beyond torch", ""),
    ]
    return [fact for fact in found if fact[1]]


def index_table(results: Results, summaries: dict[str, str]) -> Table:
    """All recorded mechanisms."""
    columns = [
        Column("Variant", kind="text"), Column("What it is", kind="text"), Column("Family", kind="text"), Column("Claimed", "time"),
        Column("Claimed", "memory"), Column("Cells"), Column("Ok"),
    ]  # fmt: skip
    rows = []
    for name in results.variants:
        mine = [r for r in results.records if r.spec.variant == name]
        declared, style = results.declared.get(name), results.styles[name]
        rows.append(
            [
                Cell(name, href=f"variants/{style.slug}.html", kind="variant", style=style),
                Cell(summaries.get(name) or "Not registered where this site was built; only its results are known.", kind="text wide"),
                Cell(declared.family if declared else "other", kind="text"),
                Cell(power_text(declared.time_exponent)) if declared else EMPTY,
                Cell(power_text(declared.memory_exponent)) if declared else EMPTY,
                Cell(count(len(mine))),
                Cell(count(sum(r.status == "ok" for r in mine))),
            ]
        )
    return Table("Every mechanism with a record", columns, rows)


def detail(results: Results, record: Record) -> Detail:
    """One cell, every metric it has."""
    metrics = []
    for metric in sorted(record.measurements):
        samples = values(record, metric)
        if not samples:
            continue
        if metric in _ALREADY and (time := positive(record, metric)):
            metrics.append((metric, seconds(time.value), f"median of {len(samples)}, {interval_text(time, seconds)}"))
        elif len(samples) > 1:
            metrics.append((metric, ", ".join(plain(x) for x in samples[:64]), "by layer"))
        else:
            metrics.append((metric, _SHOWN.get(metric, plain)(samples[0]), ""))
    e = record.environment
    found = [
        ("machine", record.machine), ("session", record.session), ("measured", record.started_at), ("took", seconds(record.duration_s)),
        ("commit", f"{e.get('commit') or 'unknown'}{' (with local changes)' if e.get('dirty') else ''}"),
        ("torch", str(e.get("torch") or "unknown")), ("origin", f"{record.origin.by}, {record.origin.trust}"), ("cell", record.id),
        ("sources", record.fingerprint), ("stage", record.stage or ""),
    ]  # fmt: skip
    return Detail(
        anchor(record), _title(results, record), record.status, status_word(record), record.reason or "", metrics,
        [fact for fact in found if fact[1]], record.command,
    )  # fmt: skip


def _title(results: Results, record: Record) -> str:
    s = record.spec
    kind = [s.device, s.dtype, "causal" if s.causal else "bidirectional"]
    return f"{s.label()} · {', '.join(kind)} · batch {s.batch_size}, {s.num_heads} heads of {s.head_dim}" + (
        f" · {results.label(record)}" if results.label(record) != s.variant else ""
    )


# Of a track, and of the trials that tuned learning rates: what the table is called, and the axes that it shows.
_OVERVIEWS = {
    "kernel": ("Kernel: every cell", ("mode", "seq_len")),
    "depth": ("Depth: every cell", ("block", "num_layers")),
    "task": ("Tasks: every cell", ("task", "stack", "seed")),
    "trials": ("Tuning trials: each rate once, judged on the validation part", ("task", "stack")),
}


def _overview(records: Sequence[Record], what: str) -> Table:
    """Some cells as a table; each row leads to the cell in full."""
    title, first = _OVERVIEWS[what]
    is_trained = what in ("task", "trials")
    result = "Test" if what == "task" else "Validation"
    measured = [Column("Time"), Column("Peak memory")]
    if is_trained:
        measured = [Column("Rate"), Column(result), Column("Training time")]
    columns = [
        Column("Cell", kind="text"), *(Column(name, kind=_kind(name)) for name in first),
        Column("Setting", "machine, batch × heads × head_dim", kind="text"),
        *([] if is_trained else [Column("Status", kind="text")]), *measured,
    ]  # fmt: skip

    def row(r: Record) -> list[Cell]:
        s = r.spec
        head = [Cell(r.id[:8], kind="head code", href=f"#{anchor(r)}"), *(Cell(_shown(s, name), kind=_kind(name)) for name in first)]
        trained = [epochs(s)] if is_trained else []
        shape = f"{s.batch_size} × {s.num_heads} × {s.head_dim}"
        setting = [r.machine, s.device, s.dtype, *(["causal"] if s.causal else []), *trained, shape]
        head.append(Cell(", ".join(setting), kind="text"))
        return [*head, *(_trained(r) if is_trained else _timed(r))]

    return Table(title, columns, [row(r) for r in records])


def _status(record: Record) -> Cell:
    return Cell(status_word(record), title=record.reason or "", kind=f"status {record.status}")


def _timed(record: Record) -> list[Cell]:
    time, memory = positive(record, f"{record.spec.mode}_s"), positive(record, "peak_memory_bytes")
    return [
        _status(record),
        Cell(seconds(time.value), title=interval_text(time, seconds)) if time else EMPTY,
        Cell(size(memory.value)) if memory else EMPTY,
    ]


def _trained(record: Record) -> list[Cell]:
    metric = metric_of([record])
    learnt = single(record, f"validation_{metric.name}" if is_trial(record) else metric.name)
    train, diverged = single(record, "train_s"), "diverged" if single(record, "diverged") else ""
    return [
        Cell(rates([record]), "tuned" if record.spec.lr is not None and record.spec.lr_grid is not None else ""),
        _status(record) if learnt is None else Cell(metric.told(learnt), diverged, kind="number warn" if diverged else "number"),
        Cell(seconds(train)) if train is not None else EMPTY,
    ]


def _kind(axis: str) -> str:
    return "number" if axis in ("seq_len", "num_layers", "seed") else "text"


def _shown(spec: Spec, axis: str) -> str:
    if axis == "stack":
        return f"{spec.block}, {spec.depth_label()}"
    value = getattr(spec, axis)
    return f"{value:,}" if isinstance(value, int) else str(value)
