"""A record: one cell, once measured. Immutable, self-contained, one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from attnbench.errors import BadInput
from attnbench.spec import Spec

SCHEMA = 1

Status = Literal["ok", "skipped", "unavailable", "incorrect", "oom", "timeout", "error"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who ran the cell, and how far it can be trusted: "self" reported, or "rerun" by the project."""

    by: str = "local"
    trust: Literal["self", "rerun"] = "self"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a cell gave, and everything needed to judge and repeat it.

    id:           hash of the spec.
    fingerprint:  hash of the sources that made the numbers, and of the torch version.
    session:      the run this cell was measured in; machine: its name or hash.
    measurements: raw samples by metric, units in the names.
    curve:        columns of the training curve.
    environment:  hardware, versions, threads, limits, commit of the installed code.
    command:      repeats this one cell.
    """

    schema: int = SCHEMA
    id: str
    fingerprint: str
    machine: str
    session: str
    spec: Spec
    status: Status
    reason: str | None = None
    stage: str | None = None
    measurements: dict[str, list[float]] = field(default_factory=dict)
    curve: dict[str, list[float | None]] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)
    started_at: str
    duration_s: float
    command: str


class UnreadableRecord(ValueError):
    """A line that is not a valid record; the message says why."""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Record, strict=True)


def encode(record: Record) -> bytes:
    """The record as one line of strict JSON, newline included.

    Raises ValueError when a sample is not finite: msgspec would write null, and reading it back would fail.
    """
    for metric, samples in record.measurements.items():
        if not all(abs(x) < float("inf") for x in samples):
            raise ValueError(f"{metric} holds a value that is not finite: {samples}")
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """The record of one line.

    Raises UnreadableRecord for anything that is not a record of this schema.
    """
    try:
        record = _decoder.decode(line)
    except (msgspec.DecodeError, ValueError, BadInput) as error:
        raise UnreadableRecord(str(error)) from error
    if record.schema != SCHEMA:
        raise UnreadableRecord(f"schema {record.schema} is not {SCHEMA}; install the attnbench that wrote it, or a newer one")
    return record
