"""The pages of mechanisms: what each declares, the results of its checks, and all its numbers, each linked to its cell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from attnbench.analysis.diverged import diverged_text
from attnbench.analysis.labels import clip, epochs_text, rates_text, threads_text
from attnbench.analysis.learnt import learnt
from attnbench.analysis.number_format import count, power_text, rank_text, ratio, seconds, size
from attnbench.analysis.samples import BASELINE, counted, is_trial, over_seeds, positive, single
from attnbench.analysis.task_metrics import metric_of
from attnbench.attention import Variant
from attnbench.spec.axis_values import MODES
from attnbench.stats import in_groups
from attnbench.store.ran_on import ran_on
from attnbench.store.record import Record
from attnbench.website.formula import formula_html
from attnbench.website.groups import Axis, Group
from attnbench.website.links import cell_href, variant_file
from attnbench.website.palette import Style
from attnbench.website.results import Results, by_label
from attnbench.website.tables.checks import Checks, report_table
from attnbench.website.tables.table import EMPTY, Cell, Column, Table, Value, interval_text, rank_cell, status_cell
from attnbench.website.times import by_rounds, call_seconds, over_softmax

_FORMS: dict[bool | str, str] = {
    False: "bidirectional; causal cells are skipped",
    True: "bidirectional and causal",
    "only": "causal only; bidirectional cells are skipped",
}
_ARXIV = re.compile(r"arXiv[ :]?(\d{4}\.\d{4,5})")
NOT_HERE = "Not registered where this site was built; only its results are known."


@dataclass(frozen=True)
class Fact:
    """One fact that a mechanism declares, as a line of its page."""

    name: str
    value: str | Markup
    href: str = ""


@dataclass(frozen=True)
class Sheet:
    """What a mechanism's page shows. tables: headings with tables of its numbers; compared: the labels of it and softmax, for links."""

    name: str
    style: Style
    summary: str
    facts: Sequence[Fact]
    checks: Sequence[Table]
    tables: Sequence[tuple[str, Sequence[Table]]]
    compared: str = ""


def sheet(results: Results, checks: Checks, name: str, summary: str, source: str) -> Sheet:
    """Everything known about one recorded mechanism. source: the page that shows its file; empty if it is not registered here."""
    found: list[tuple[str, list[Table]]] = [("Kernel", []), ("Depth", []), ("Tasks", []), ("Tuning trials", [])]
    for group in results.groups("kernel"):
        if name in group.by_variant:
            found[0][1].append(_grid(results, group, name, "seq_len"))
    for group in results.groups("depth"):
        if name in group.by_variant:
            found[1][1].append(_grid(results, group, name, "num_layers"))
    benches: dict[tuple[Axis, ...], list[Group]] = {}
    for group in results.groups("task"):
        if name in group.by_variant:
            benches.setdefault(group.device, []).append(group)
    found[2][1].extend(_tasks(results, bench, groups, name) for bench, groups in benches.items())
    if trials := [r for r in results.by_variant[name] if is_trial(r)]:
        found[3][1].append(_trials(trials))
    reports = [report_table(report) for report in checks.of_variant(name)]
    facts = [
        *declared_facts(results.declared.get(name)),
        *([Fact("Source", "its file, as installed where this site was built", source)] if source else []),
    ]
    labels = sorted({results.label(r) for r in results.by_variant[name] if not is_trial(r)} - {BASELINE})
    compared = "~".join([BASELINE, *labels]) if labels and BASELINE in results.by_variant else ""
    return Sheet(name, results.styles[name], summary, facts, reports, [(title, tables) for title, tables in found if tables], compared)


def declared_facts(declared: Variant | None) -> list[Fact]:
    """The facts that a mechanism declares; empty for one that is not registered here."""
    if declared is None:
        return []
    arxiv = _ARXIV.search(declared.citation)
    params = [f"{k} = {'chosen from the shape' if v is None else json.dumps(v, default=list)}" for k, v in sorted(declared.params.items())]
    found = [
        Fact("Formula", formula_html(declared.formula) if declared.formula else ""),
        Fact("Reference", declared.citation, f"https://arxiv.org/abs/{arxiv[1]}" if arxiv else ""),
        Fact("Family", declared.family),
        Fact("Claimed time", f"grows as {power_text(declared.time_exponent)} in seq_len"),
        Fact("Claimed memory", f"grows as {power_text(declared.memory_exponent)} in seq_len"),
        Fact("Forms", _FORMS[declared.causal]),
        Fact("Grouped queries", "yes" if declared.grouped else "no; cells with fewer key-value heads are skipped"),
        Fact("Gates", "computed from the hidden states, the tokens that q, k and v are maps of" if declared.needs_hidden else ""),
        Fact("Backward pass", "" if declared.training else "none; cells that train are skipped"),
        Fact("Rows sum to one", "yes" if declared.normalises_rows else "no"),
        Fact("Parameters", ", ".join(params) or "none"),
        Fact("Needs", ", ".join(declared.needs) or "nothing beyond torch"),
    ]
    return [fact for fact in found if fact.value]


def index_table(results: Results, checks: Checks, summaries: dict[str, str]) -> Table:
    """The table of all recorded mechanisms."""
    columns = [
        Column("Variant", kind="text", key="name"), Column("What it is", kind="text"), Column("Family", kind="text", key="family"),
        Column("Claimed", "time", key="claimed_time_exponent"), Column("Claimed", "memory", key="claimed_memory_exponent"),
        Column("Checks", "held"), Column("Cells", key="cells"), Column("Ok", key="ok"),
    ]  # fmt: skip
    rows, data = [], []
    for name, records in sorted(results.by_variant.items()):
        declared, ok = results.declared.get(name), sum(r.status == "ok" for r in records)
        family = declared.family if declared else "other"
        claims = (declared.time_exponent, declared.memory_exponent) if declared else (None, None)
        rows.append(
            [
                Cell(clip(name, 60), href=variant_file(name), kind="variant", style=results.styles[name]),
                Cell(summaries.get(name) or NOT_HERE, kind="text wide"), Cell(family, kind="text"),
                *(EMPTY if claim is None else Cell(power_text(claim)) for claim in claims),
                checks.cell(records[0]), Cell(count(len(records))), Cell(count(ok)),
            ]
        )  # fmt: skip
        told: dict[str, Value] = {"name": name, "family": family, "cells": len(records), "ok": ok}
        data.append({**told, "claimed_time_exponent": claims[0], "claimed_memory_exponent": claims[1]})
    return Table("Every mechanism with a record", columns, rows, (), data)


def _grid(results: Results, group: Group, name: str, axis: str) -> Table:
    """The table of a setting's costs by size: time, its ratio to softmax and memory, for each mode and block."""
    mine = group.by_variant[name]
    kinds = sorted({_kind(r) for r in mine}, key=lambda kind: (kind[0], MODES.index(kind[1])))
    columns = [Column("Mechanism", kind="text"), Column(axis)]
    for block, mode in kinds:
        told = f"{block}, {mode}" if block else mode
        columns += [Column("Time", told), Column(f"vs {BASELINE}", told), Column("Rank", told), Column("Memory", told)]
    rows: dict[tuple[str, int], dict[tuple[str, str], Record]] = {}
    for record in mine:
        rows.setdefault((results.label(record), getattr(record.spec, axis) or 0), {})[_kind(record)] = record
    bases = {(_kind(r), getattr(r.spec, axis)): r for r in group.by_variant.get(BASELINE, ()) if results.label(r) == BASELINE}
    shown = [
        [
            Cell(clip(label, 60), kind="head"), Cell(count(at)),
            *(cell for kind in kinds for cell in _costs(results, found.get(kind), bases.get((kind, at)))),
        ]
        for (label, at), found in sorted(rows.items())
    ]  # fmt: skip
    return Table(group.title, columns, shown)


def _kind(record: Record) -> tuple[str, str]:
    return record.spec.block or "", record.spec.mode


def _costs(results: Results, record: Record | None, base: Record | None) -> list[Cell]:
    if record is None:
        return [EMPTY] * 4
    if record.status != "ok":
        return [status_cell(record, 4)]
    time, memory = call_seconds(results, record), positive(record, "peak_memory_bytes")
    relative = over_softmax(results, record, call_seconds(results, base) if base else None)
    place = results.standings.places("time", record).get(results.label(record))
    link = cell_href(record)
    return [
        Cell(seconds(time.value), title=interval_text(time, seconds), href=link) if time else EMPTY,
        Cell(ratio(relative.value), by_rounds(results, record), title=interval_text(relative, ratio)) if relative else EMPTY,
        rank_cell(place),
        Cell(size(memory.value)) if memory else EMPTY,
    ]  # fmt: skip


def _tasks(results: Results, bench: tuple[Axis, ...], groups: Iterable[Group], name: str) -> Table:
    """The table of the mechanism's test results on one bench, a row for each setting."""
    columns = [
        Column("Task", kind="text"), Column("Setting", kind="text"), Column("Test result", "mean over seeds"), Column("95 % interval"),
        Column("Rank"), Column("Seeds"), Column("Rate"), Column("Training"), Column("Memory"),
    ]  # fmt: skip
    rows = []
    for group in groups:
        for label, records in by_label(results, group.by_variant[name]).items():
            metric, first = metric_of(group.records), records[0]
            found, place = learnt(results.standings, records, label, metric.name), results.standings.places("result", first).get(label)
            told = [axis.label for axis in group.axes if axis.name != "task" and axis not in bench and not axis.usual]
            setting = ", ".join(told) + (f" · {label}" if label != name else "")
            head = [Cell(first.spec.task_label(), kind="head"), Cell(clip(setting, 200), kind="text wide")]
            if found is None:
                rows.append([*head, status_cell(first, len(columns) - 2)])
                continue
            gave = [(r, x) for r in records if r.status == "ok" for x in counted(r, metric.name)[:1]]
            links = Markup(" ").join(Markup('<a href="../{}">{}</a>').format(cell_href(r), metric.show(x)) for r, x in gave)
            mean, of_seeds = found
            learnable = metric.learnable(group.records)
            grouped = in_groups(of_seeds, learnable)
            time, memory = over_seeds(records, "train_s"), over_seeds(records, "peak_memory_bytes")
            lost = f"{share} diverged" if (share := diverged_text(records)) else ""
            rows.append(
                [
                    *head, Cell(metric.over_seeds_text(mean, of_seeds, learnable) + metric.unit, href=cell_href(first)),
                    Cell(
                        "seeds in groups" if grouped else interval_text(mean, metric.show) if mean.confidence else "1 seed",
                        kind="number quiet",
                    ),
                    Cell(rank_text(place.rank if place else None)), Cell(links, lost), Cell(rates_text(records)),
                    Cell(seconds(time[0].value)) if time else EMPTY, Cell(size(memory[0].value)) if memory else EMPTY,
                ]
            )  # fmt: skip
    return Table(", ".join(axis.label for axis in bench), columns, rows)


def _trials(trials: Sequence[Record]) -> Table:
    """The table of every learning rate that was tried, with its result on the validation part."""
    columns = [
        Column("Task", kind="text"),
        Column("Stack", kind="text"),
        Column("Setting", kind="text"),
        Column("Rate"),
        Column("Validation"),
    ]
    rows = []
    for record in trials:
        s, metric = record.spec, metric_of([record])
        value, diverged = single(record, f"validation_{metric.name}"), single(record, "diverged")
        part = ran_on(s.device, record.environment)
        stack = [str(s.block), s.depth_label(), *s.options()]
        setting = [
            *filter(None, (record.machine, part.gpu, threads_text(part.threads))),
            s.device,
            s.dtype,
            *(["causal"] if s.causal else []),
            epochs_text(s),
        ]
        shown = status_cell(record) if value is None else Cell(metric.told(value), "diverged" if diverged else "", href=cell_href(record))
        texts = (Cell(", ".join(told), kind="text") for told in (stack, setting))
        rows.append([Cell(str(s.task), kind="head"), *texts, Cell(rates_text([record])), shown])
    return Table("Each rate once; the best was used for every seed", columns, rows)
