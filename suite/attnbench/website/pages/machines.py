"""The machines page: hardware, versions and sessions of every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attnbench.analysis.drift import Drift
from attnbench.analysis.labels import clip, threads_text
from attnbench.analysis.number_format import count, digits, seconds, size
from attnbench.store.peaks import Peaks
from attnbench.store.ran_on import ran_on
from attnbench.store.record import Record
from attnbench.website.charts.chart import Chart
from attnbench.website.charts.drift import drift_chart
from attnbench.website.links import machine_place
from attnbench.website.results import Results
from attnbench.website.tables.table import EMPTY, Cell, Column, Table
from attnbench.website.words import WORDS

_FACTS = (
    ("Processor", "cpu"), ("Physical cores", "cores"), ("Logical cores", "logical_cores"), ("Threads used", "threads"),
    ("Memory", "memory_bytes"), ("GPUs", "gpus"), ("System", "os"), ("Architecture", "architecture"), ("Python", "python"),
    ("torch", "torch"), ("triton", "triton"), ("attnbench", "attnbench"), ("Limit per cell", "timeout_s"),
)  # fmt: skip

_OF_GPU = ("name", "driver_version", "memory.total", "power.limit")


@dataclass(frozen=True)
class Machine:
    """A machine as its newest record describes it, its peak rates, and its sessions."""

    name: str
    anchor: str
    facts: Sequence[tuple[str, str]]
    sessions: Table
    peaks: Table | None
    drift: Chart | None


def machines(results: Results, peaks: Mapping[str, Mapping[str, Peaks]]) -> list[Machine]:
    """Every machine in the store. peaks: by the machine's name, then by device."""
    mine: dict[str, list[Record]] = {}
    for record in results.sessions:
        mine.setdefault(record.machine, []).append(record)
    return [_machine(results, name, records, peaks.get(name, {})) for name, records in sorted(mine.items())]


def commit_text(environment: dict[str, Any]) -> str:
    """The short commit of the code that measured, with a mark if it had local changes."""
    commit = environment.get("commit")
    return (str(commit)[:7] if commit else "unknown") + (" + changes" if environment.get("dirty") else "")


def _machine(results: Results, name: str, records: Sequence[Record], peaks: Mapping[str, Peaks]) -> Machine:
    environment = records[-1].environment
    facts = [(title, clip(shown, 200)) for title, key in _FACTS if (shown := _shown(key, environment.get(key)))]
    sessions: dict[str, list[Record]] = {}
    for record in records:
        sessions.setdefault(record.session, []).append(record)
    newest = sorted(sessions.items(), key=lambda item: (item[1][0].started_at, item[0]), reverse=True)
    return Machine(name, machine_place(name), facts, _sessions(results, name, sessions), _peaks(peaks), drift_chart(name, newest))


def _peaks(peaks: Mapping[str, Peaks]) -> Table | None:
    """The table of the measured peaks of matrix products and of memory; None where none were measured."""
    columns = [Column("Device", kind="text"), Column("What", kind="text"), Column("At most")]
    rows = []
    for name, found in sorted(peaks.items()):
        device = name if name == "cuda" else f"{name}, {threads_text(found.threads)}"
        rows += [
            [Cell(device, kind="head"), Cell(f"matrix product, {dtype}", kind="text"), Cell(f"{digits(x / 1e9)} GFLOP/s")]
            for dtype, x in sorted(found.flops_per_s.items())
        ]
        rows += [
            [Cell(device, kind="head"), Cell(f"bandwidth, working set of {size(of)}", kind="text"), Cell(f"{size(x)}/s")]
            for of, x in found.bandwidth
        ]
    return Table("What it can do at most", columns, rows) if rows else None


def _sessions(results: Results, name: str, sessions: dict[str, list[Record]]) -> Table:
    columns = [
        Column("Session", kind="text"), Column("Started", "UTC", kind="text"), Column("Threads"), Column("Cells"), Column("Ok"),
        Column("torch"), Column("Commit", kind="text"), Column("Anchor", "softmax at 1,024"), Column("Drift", "over the session"),
    ]  # fmt: skip
    rows = []
    for session, records in sorted(sessions.items(), key=lambda item: (item[1][0].started_at, item[0]), reverse=True):
        first, drift = records[0], results.drifts.of(name, session)
        rows.append(
            [
                Cell(clip(session, 60), kind="head code"),
                Cell(first.started_at.replace("T", " ").removesuffix("Z"), kind="text"),
                Cell(threads_text(ran_on(first.spec.device, first.environment).threads) or "–"),
                Cell(count(len(records))),
                Cell(count(sum(r.status == "ok" for r in records))),
                Cell(str(first.environment.get("torch") or "–")),
                Cell(commit_text(first.environment), title=str(first.environment.get("commit") or ""), kind="text code"),
                Cell(seconds(drift.median_s), f"of {count(drift.cells)} cells") if drift.cells else EMPTY,
                _drift_cell(drift),
            ]
        )
    return Table(f"Sessions on {name}", columns, rows)


def _drift_cell(drift: Drift) -> Cell:
    """The cell of how much the machine's speed changed over a session; it is judged cell by cell, so it opens to what that means."""
    said = f"{drift.ratio:.2f}×" if drift.cells else "–"
    if drift.flag:
        return Cell(said, "not ranked", kind="number warn", told=(f"{drift.flag[:1].upper()}{drift.flag[1:]}.",))
    note = (f"{drift.note[:1].upper()}{drift.note[1:]}.",) if drift.note else ()
    return Cell(said, told=(WORDS["drift"], *note))


def _shown(key: str, value: object) -> str:
    if value is None:
        return ""
    if key == "memory_bytes" and isinstance(value, (int, float)):
        return size(float(value))
    if key == "timeout_s":
        return f"{value:g} s" if isinstance(value, (int, float)) else str(value)
    if key == "gpus":
        gpus = (
            [", ".join(str(g[fact]) for fact in _OF_GPU if fact in g) if isinstance(g, dict) else str(g) for g in value]
            if isinstance(value, list)
            else []
        )
        return "; ".join(gpus) or "none"
    return str(value)
