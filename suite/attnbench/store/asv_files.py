"""Reads the files that asv writes, results/asv/MACHINE/COMMIT-ENVIRONMENT.json, as plain rows.

asv keeps a benchmark's values in one list over the product of its parameters; here each value gets a row. asv also writes bare NaN and
Infinity, which are not JSON; here they become None. The format is version 2 of asv's own, which asv/results.py of asv 0.6.6 writes.
"""

from __future__ import annotations

import ast
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnbench.store.facts import LARGEST
from attnbench.store.store import Problem

VERSION = 2
OTHER_FILES = ("machine.json", "benchmarks.json")
MOST_PLACES = 10**6  # of one benchmark; a damaged file may name any number
# Raised while reading JSON of another shape.
_MISSHAPEN = (AttributeError, KeyError, OSError, OverflowError, RecursionError, TypeError, ValueError)
_NO_LITERAL = (MemoryError, RecursionError, SyntaxError, TypeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class AsvRow:
    """One benchmark with one set of parameters, at one commit.

    benchmark:  asv's name for it, such as "kernel.Kernel.time_call".
    params:     the values of its parameters, in order, as Python values; the text in the file where it is not a Python literal.
    value:      the value that asv shows, for times the median in seconds; None where the benchmark failed, was skipped or not chosen.
    samples:    the raw samples, if asv was told to record them; else None.
    started_at: when asv began this benchmark, in UTC; None where the file does not say.
    """

    machine: str
    commit: str
    benchmark: str
    params: tuple[Any, ...]
    value: float | None
    samples: tuple[float | None, ...] | None
    started_at: str | None


def read_asv(folder: Path, problems: list[Problem] | None = None) -> Iterator[AsvRow]:
    """Yield every row of every file in asv's results folder, none if it is missing; adds what cannot be read to `problems` and skips it."""
    for file in sorted(folder.glob("*/*.json")):
        if file.name not in OTHER_FILES:
            yield from _read_file(file, [] if problems is None else problems)


def _read_file(file: Path, problems: list[Problem]) -> Iterator[AsvRow]:
    try:
        document = json.loads(file.read_bytes(), parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no JSON, or no text at all
        problems.append(Problem(file, getattr(error, "lineno", None if isinstance(error, OSError) else 1), f"not JSON: {error}"))
        return
    try:
        machine, commit, benchmarks = _head(document)
    except _MISSHAPEN as error:
        problems.append(Problem(file, 1, f"not asv's results of version {VERSION}: {_what(error)}"))
        return
    for name, columns in benchmarks.items():
        try:
            rows = [AsvRow(machine=machine, commit=commit, benchmark=name, **row) for row in _rows(columns)]
        except _MISSHAPEN as error:
            problems.append(Problem(file, 1, f"{name} cannot be read: {_what(error)}"))
        else:
            yield from rows


def _head(document: dict[str, Any]) -> tuple[str, str, dict[str, dict[str, Any]]]:
    """Machine, commit, and the columns of every benchmark by name. Columns at the end that hold only null are missing in the file."""
    if document["version"] != VERSION:
        raise ValueError(f"its version is {document['version']!r}")
    names = document["result_columns"]
    benchmarks = {name: dict(zip(names, row, strict=False)) for name, row in document["results"].items()}
    return str(document["params"]["machine"]), str(document["commit_hash"]), benchmarks


def _rows(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    places = [list(values) for values in columns["params"]]
    length = math.prod(map(len, places))
    if length > MOST_PLACES:
        raise ValueError(f"there are {length} places among the parameters; {MOST_PLACES} can be read")
    values, samples = (_spread(columns.get(name), length) for name in ("result", "samples"))
    started_at = columns.get("started_at")
    shared = {"started_at": None if started_at is None else _utc(started_at)}
    for place, value, of_place in zip(itertools.product(*places), values, samples, strict=True):
        raw = None if of_place is None else tuple(map(_finite, of_place))
        yield {"params": tuple(map(_literal, place)), "value": _finite(value), "samples": raw, **shared}


def _spread(column: list[Any] | None, length: int) -> Iterable[Any]:
    """A column with an entry for each set of parameters; asv writes null for a column in which all are empty."""
    if column is None:
        return itertools.repeat(None, length)
    if len(column) != length:
        raise ValueError(f"a column holds {len(column)} values for {length} places among the parameters")
    return column


def _finite(value: Any) -> float | None:
    """A number that a measurement can be, or None: a literal beyond the range of floats is infinite. Raises TypeError for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"a value is {value!r}")
    number = float(value)
    return number if abs(number) < LARGEST else None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except _NO_LITERAL:  # the repr of an object, or "(1)", which asv adds to tell two equal ones apart
        return text


def _utc(milliseconds: float) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _what(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
