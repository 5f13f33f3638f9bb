"""Record: one measurement of one cell. Immutable and self-contained; stored as one JSON object per line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.store.migrate import migrate

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
    measurements: Annotated[dict[str, list[float]], Meta(description="raw samples by metric; names end in the unit")] = field(
        default_factory=dict
    )
    clocks: Annotated[
        dict[str, str],
        Meta(description="clock of each time: wall (synchronised, what a user waits for) or device (span between two events of the GPU)"),
    ] = field(default_factory=dict)
    stages_s: Annotated[dict[str, float], Meta(description="seconds spent in each stage of the cell, by the parent's clock")] = field(
        default_factory=dict
    )
    curve: Annotated[dict[str, list[float | None]], Meta(description="columns of the training curve")] = field(default_factory=dict)
    environment: Annotated[
        dict[str, Any], Meta(description="hardware, versions, threads, load, limits, and the commit of the installed code")
    ] = field(default_factory=dict)
    origin: Annotated[Origin, Meta(description="who ran it, and how far that can be trusted")] = field(default_factory=Origin)
    started_at: Annotated[str, Meta(description="when the cell began, in UTC: 2026-11-22T06:00:00Z")]
    duration_s: Annotated[float, Meta(description="seconds from then to its end")]
    command: Annotated[str, Meta(description="the command that measures this one cell again")]


class UnreadableRecord(ValueError):
    """Raised for a line that is not a valid record; the message says why."""


class _Head(msgspec.Struct):
    """The part of a line that says in which schema the rest is written."""

    schema: int


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Record, strict=True)
_head_decoder = msgspec.json.Decoder(_Head, strict=True)
_INVALID = (msgspec.DecodeError, ValueError, BadInput)


def encode(record: Record) -> bytes:
    """The record as one line of strict JSON, newline included.

    Raises ValueError when a sample is not finite: msgspec would write null, and reading it back would fail.
    """
    for metric, samples in record.measurements.items():
        if not all(abs(x) < float("inf") for x in samples):
            raise ValueError(f"{metric} holds a value that is not finite: {samples}")
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """The record of one line, migrated to the current schema if it was written in an older one.

    Raises UnreadableRecord for anything that is not a record, or is one of a newer schema.
    """
    try:
        record = _decoder.decode(line)
        if record.schema == SCHEMA:
            return record
    except _INVALID as error:
        if written_schema(line) in (None, SCHEMA):
            raise UnreadableRecord(str(error)) from error
    try:
        return msgspec.convert(migrate(msgspec.json.decode(line), SCHEMA), Record, strict=True)
    except _INVALID as error:
        raise UnreadableRecord(str(error)) from error


def written_schema(line: bytes) -> int | None:
    """The schema number that a line was written in; None when it is not a JSON object or has no number."""
    try:
        return _head_decoder.decode(line).schema
    except (msgspec.DecodeError, ValueError):
        return None


DRIFT_BASELINE = "drift_anchor_baseline_s"  # in a record's environment: the anchor's median when the machine's peaks were measured
