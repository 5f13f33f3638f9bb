"""Record: one measurement of one cell. Immutable and self-contained; stored as one JSON object per line."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.spec.plain import is_name, shown
from attnbench.store.facts import LARGEST, Number, Share, misfit
from attnbench.store.metrics import CURVE, is_time
from attnbench.store.migrate import migrate
from attnbench.store.names import SAFE_NAME

SCHEMA = 2
CLOCKS = ("wall", "device")
PYTEST_BENCHMARK = "pytest-benchmark"  # the origin of imported records, which have neither memory nor anchor

Status = Literal["ok", "skipped", "unavailable", "incorrect", "oom", "timeout", "error"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who ran the cell, and how far that can be trusted."""

    by: Annotated[str, Meta(description="who ran it: a public handle, or local")] = "local"
    trust: Annotated[Literal["self", "rerun"], Meta(description="self: as reported; rerun: measured again by the project")] = "self"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a cell gave, and everything needed to judge and repeat it. No path, user or host name is in it."""

    schema: Annotated[int, Meta(description="number of this shape; a line of an older one is migrated when it is read")] = SCHEMA
    id: Annotated[str, Meta(description="the cell: hash of the spec, 16 hex digits")]
    fingerprint: Annotated[str, Meta(description="hash of the sources that made the numbers, and of the torch version")]
    machine: Annotated[str, Meta(description="the machine: its owner's name for it, or a hash; it names the folder")]
    session: Annotated[str, Meta(description="the run that measured this cell; it names the file")]
    spec: Annotated[Spec, Meta(description="what was run: every axis of the cell")]
    status: Annotated[Status, Meta(description="ok, or why there are no numbers")]
    reason: Annotated[str | None, Meta(description="why the status is not ok")] = None
    stage: Annotated[str | None, Meta(description="what the cell was doing when it failed")] = None
    measurements: Annotated[dict[str, list[Number]], Meta(description="raw samples by metric; names end in the unit")] = field(
        default_factory=dict
    )
    clocks: Annotated[
        dict[str, str],
        Meta(description="clock of each time: wall (synchronised, what a user waits for) or device (the GPU's own)"),
    ] = field(default_factory=dict)
    stages_s: Annotated[dict[str, Share], Meta(description="seconds spent in each stage of the cell, by the parent's clock")] = field(
        default_factory=dict
    )
    curve: Annotated[dict[str, list[Number | None]], Meta(description="columns of the training curve")] = field(default_factory=dict)
    environment: Annotated[
        dict[str, Any], Meta(description="hardware, versions, threads, load, limits, and the commit of the installed code")
    ] = field(default_factory=dict)
    origin: Annotated[Origin, Meta(description="who ran it, and how far that can be trusted")] = field(default_factory=Origin)
    started_at: Annotated[str, Meta(description="when the cell began, in UTC: 2026-11-22T06:00:00Z")]
    duration_s: Annotated[Share, Meta(description="seconds from then to its end")]
    command: Annotated[str, Meta(description="the command that measures this one cell again")]


class UnreadableRecord(ValueError):
    """Raised for a line that is not a valid record; the message says why."""


class _Head(msgspec.Struct):
    """The part of a line that says in which schema the rest is written."""

    schema: int


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Record, strict=True)
_head_decoder = msgspec.json.Decoder(_Head, strict=True)
_INVALID = (msgspec.DecodeError, ValueError, BadInput, RecursionError)  # of brackets without end
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def encode(record: Record) -> bytes:
    """The record as one line of strict JSON, newline included.

    Raises ValueError when a sample is not finite: msgspec would write null, and reading it back would fail. See `why_unreadable`.
    """
    for metric, samples in record.measurements.items():
        if not all(abs(x) < float("inf") for x in samples):
            raise ValueError(f"{metric} holds a value that is not finite: {samples}")
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """The record of one line, migrated to the current schema if it was written in an older one.

    What it gives can be shown, compared, exported and published by every command. Raises UnreadableRecord for anything else: what is not a
    record, is one of a newer schema, or holds a value that no record has.
    """
    line = line.removeprefix(codecs.BOM_UTF8)  # as editors put it before a file, and `cat` between two
    try:
        record = _shape(line)
    except _INVALID as error:
        raise UnreadableRecord(f"{error}{_hint(line)}") from error
    why = _misfit(record)
    if why is not None:
        raise UnreadableRecord(why)
    return record


def _shape(line: bytes) -> Record:
    """The record of a line by the types of its fields alone; raises one of _INVALID where they do not fit."""
    try:
        record = _decoder.decode(line)
        if record.schema == SCHEMA:
            return record
    except _INVALID:
        if written_schema(line) in (None, SCHEMA):
            raise
    return msgspec.convert(migrate(msgspec.json.decode(line), SCHEMA), Record, strict=True)


def _misfit(record: Record) -> str | None:
    """Why a record of the right shape cannot be shown; None if it can."""
    if why := record.spec.too_large():
        return why
    for what, name in (("machine", record.machine), ("session", record.session)):
        if not SAFE_NAME.fullmatch(name):
            return f"its {what} is {shown(name)}, which cannot name a file; names have letters, digits, '.', '_' and '-', 100 at most"
    for what, name in (("id", record.id), ("fingerprint", record.fingerprint)):
        if not is_name(name):
            return f"its {what} is {shown(name)}; it must be a text of one line"
    if not is_utc(record.started_at):
        return f"started_at is {shown(record.started_at)}; write UTC as 2026-11-22T06:00:00Z"
    for of in (record.measurements, record.curve, record.stages_s):
        for name in of:
            if not _is_name(name):
                return f"it has numbers of the name {shown(name)}; a metric's name is a text of one line"
    for metric, samples in record.measurements.items():
        if metric.startswith(CURVE):
            return f"its measurements have {shown(metric)}; {CURVE!r} begins the names of a training curve's columns"
        if samples and metric.endswith("_s") and is_time(metric) and min(samples) <= 1 / LARGEST:
            return f"{metric} holds {min(samples)!r}; a time is positive"
    return misfit(record.environment)


_is_name = lru_cache(4096)(is_name)  # the records of a store share the names of their metrics


def is_utc(text: str) -> bool:
    """Whether a text is a time in UTC that there was or will be, such as 2026-11-22T06:00:00Z."""
    if not _UTC.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text[:-1])
    except ValueError:
        return False
    return True


def why_unreadable(record: Record) -> str | None:
    """Why a record could not be read back once it was stored; None if it can."""
    try:
        decode(encode(record))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:  # UnreadableRecord is a ValueError
        return str(error)
    return None


def _hint(line: bytes) -> str:
    """What a line that is no record seems to be, and what to do, to go after the error; empty if that is unknown."""
    if line.startswith(b"\x1f\x8b"):
        return " (it is compressed by gzip; unpack it)"
    if b"\0" in line[:64] or line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return " (it is no UTF-8, but UTF-16 most likely; save it as UTF-8)"
    if line.lstrip().startswith(b"["):
        return " (it begins a JSON array; write one object a line, without brackets and commas around them)"
    return " (its lines end in CR alone; end them in LF)" if b"\r" in line.rstrip() else ""


def written_schema(line: bytes) -> int | None:
    """The schema number that a line was written in; None when it is not a JSON object or has no number."""
    try:
        return _head_decoder.decode(line).schema
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
