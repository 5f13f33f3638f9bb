"""Reads the file that pytest-benchmark writes with --benchmark-json=FILE, as records.

pytest-benchmark stores times and its own names. The other facts that a record needs (Facts) are written by benchmarks/test_kernels.py into
a benchmark's extra_info, under "attnbench". The file's own facts about machine and user are not used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from attnbench.errors import BadInput
from attnbench.spec.axes import Spec
from attnbench.store import names
from attnbench.store.record import PYTEST_BENCHMARK, Origin, Record, why_unreadable

EXTRA = "attnbench"  # the key in extra_info
WALL_CLOCK = "perf_counter"  # pytest-benchmark's name for its default timer


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The fields of a Record that pytest-benchmark does not know."""

    spec: Spec
    fingerprint: str
    machine: str
    environment: dict[str, Any]
    started_at: str
    duration_s: float

    def as_json(self) -> dict[str, Any]:
        """The facts as plain JSON values."""
        return {**dataclasses.asdict(self), "spec": self.spec.axes()}


@dataclass(frozen=True)
class Found:
    """The records of a file. skipped: for each benchmark that gives no record, its name and the reason."""

    records: Sequence[Record]
    skipped: Sequence[str]


@dataclass(frozen=True)
class _Benchmark:
    name: str
    extra_info: dict[str, Any]
    options: dict[str, Any]
    stats: dict[str, Any]


@dataclass(frozen=True)
class _Document:
    """The parts of the file that are read."""

    datetime: datetime
    benchmarks: list[_Benchmark]


def read_pytest_benchmark(file: Path) -> Found:
    """The records of a file.

    Raises BadInput when it cannot be read, or is not pytest-benchmark's.
    """
    try:
        plain = json.loads(file.read_bytes(), parse_constant=lambda _: None)  # statistics that are not read here may be Infinity
        document = msgspec.convert(plain, _Document)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no JSON, no text, or of another shape
        raise BadInput(
            f"{file} is not what pytest-benchmark writes ({error}); make one by `pytest benchmarks --benchmark-only --benchmark-json=FILE`"
        ) from error
    records, skipped = [], []
    for benchmark in document.benchmarks:
        try:
            records.append(_record(benchmark, document.datetime))
        except (BadInput, ValueError, OverflowError) as error:  # half a surrogate pair in a name; a time that no calendar has in UTC
            skipped.append(f"{benchmark.name}: {error}")
    return Found(records, skipped)


def _record(benchmark: _Benchmark, written: datetime) -> Record:
    """The record of a benchmark. Raises BadInput or msgspec.ValidationError when it lacks what a record needs."""
    if EXTRA not in benchmark.extra_info:
        raise BadInput("it is not attnbench's own, or its results were wrong")
    if "data" not in benchmark.stats:
        raise BadInput("the file holds no samples; write it by --benchmark-json, or by --benchmark-save with --benchmark-save-data")
    if benchmark.options.get("timer") != WALL_CLOCK:
        raise BadInput(f"its timer is {benchmark.options.get('timer')!r}; records hold the wall clock, so leave out --benchmark-timer")
    facts = msgspec.convert(benchmark.extra_info[EXTRA], Facts)
    samples = msgspec.convert(benchmark.stats["data"], list[float])
    if not samples or not all(0 < seconds < float("inf") for seconds in samples):
        raise BadInput(f"its samples are {samples}; times must be positive and finite")
    why = names.refusal(facts.machine)
    if why is not None:
        raise BadInput(f"its machine is {facts.machine!r}; {why}")
    times = f"{facts.spec.mode}_s"
    record = Record(
        id=facts.spec.key(),
        fingerprint=facts.fingerprint,
        machine=facts.machine,
        session=_session(written),
        spec=facts.spec,
        status="ok",
        measurements={times: samples},
        clocks={times: "wall"},
        environment=facts.environment,
        origin=Origin(by=PYTEST_BENCHMARK),
        started_at=facts.started_at,
        duration_s=facts.duration_s,
        command=_command(facts.spec),
    )
    why = why_unreadable(record)
    if why is not None:
        raise BadInput(f"no record can hold it: {why}")
    return record


def _command(spec: Spec) -> str:
    """The command that times this cell again; -k selects it by pytest's name of the parameters in benchmarks/test_kernels.py."""
    return f"pytest benchmarks --benchmark-only -k {shlex.quote(f'[{spec.variant}-{spec.mode}-{spec.seq_len}]')}"


def _session(written: datetime) -> str:
    """The name of the session of a file, made from the time of writing, so that a second import gives the same name."""
    moment = (written if written.tzinfo else written.replace(tzinfo=UTC)).astimezone(UTC)
    return f"pytest-{moment:%Y%m%dT%H%M%SZ}-{hashlib.sha256(moment.isoformat().encode()).hexdigest()[:6]}"
