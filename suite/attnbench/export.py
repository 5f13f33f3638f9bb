"""`attnbench export`: the frame as a CSV, Parquet or JSON file, the same bytes for the same records."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
from rich.console import Console

from attnbench.columns import columns
from attnbench.errors import BadInput
from attnbench.filters import Filter, filtered
from attnbench.frame import load
from attnbench.store import Problem

if TYPE_CHECKING:
    import pandas as pd

_ROWS_AT_ONCE = 10_000  # of JSON


def export_frame(
    results: Path,
    file: Path,
    out: Console,
    err: Console,
    *,
    track: str | None = None,
    variant: str | None = None,
    machine: str | None = None,
    curves: bool = False,
) -> None:
    """Write the rows of a results folder, those of one track, variant or machine if they are named, and say how many.

    curves: rows of training curves too.

    Raises BadInput for another ending than .csv, .parquet and .json, when the folder is missing or holds nothing of the kind, has no such
    track, variant or machine, or the file cannot be written.
    """
    write = _WRITERS.get(file.suffix)
    if write is None:
        came = f"ends in {file.suffix!r}" if file.suffix else "has no ending"
        raise BadInput(f"the file's name, {file.name!r}, {came}; give one that ends in {', '.join(_WRITERS)}")
    problems: list[Problem] = []
    table = load(results, problems, curves)
    for problem in problems:
        err.print(f"skipped an unreadable line: {problem}", style="yellow", markup=False, soft_wrap=True)
    table = filtered(table, results, Filter(track, variant, machine))
    try:
        with _whole(file) as stream:
            write(_stable(table), stream)
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror or error}") from error
    out.print(f"Wrote {_counts(table)} to {file}", markup=False, highlight=False, soft_wrap=True)


def _stable(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of one type whatever the rows: whole numbers that may be missing, rather than 1024.0 beside a missing one; params as JSON."""
    whole = {name: "Int64" for name, column in columns().items() if column.type == "integer"}
    return table.astype(whole).assign(params=[msgspec.json.encode(params, order="deterministic").decode() for params in table["params"]])


def _write_csv(table: pd.DataFrame, stream: BinaryIO) -> None:
    """samples as JSON text. Lines end as RFC 4180 says, for then a text that holds either sign is quoted."""
    texts = table.assign(samples=[msgspec.json.encode(samples).decode() for samples in table["samples"]])
    texts.to_csv(stream, index=False, lineterminator="\r\n", encoding="utf-8")


def _write_json(table: pd.DataFrame, stream: BinaryIO) -> None:
    """A list of objects, one a line; null for what is missing or not finite. params is JSON within it, not a text."""
    for start in range(0, len(table), _ROWS_AT_ONCE):
        part = table.iloc[start : start + _ROWS_AT_ONCE]
        plain = {name: _plain(part[name]) for name in part.columns}
        plain["params"] = [msgspec.Raw(text.encode()) for text in part["params"]]
        lines = [msgspec.json.encode(dict(zip(plain, values, strict=True))) for values in zip(*plain.values(), strict=True)]
        stream.write((b",\n" if start else b"[\n") + b",\n".join(lines))
    stream.write(b"\n]\n")


def _plain(column: pd.Series[Any]) -> list[Any]:
    """Python's own values, None for a missing one."""
    return column.astype(object).where(column.notna(), None).tolist()


def _write_parquet(table: pd.DataFrame, stream: BinaryIO) -> None:
    """params as JSON text; what a column means is in its field's metadata, "description"."""
    import pyarrow as pa  # type: ignore[import-untyped]

    types = {
        "text": pa.string(), "object": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(),
        "list of numbers": pa.list_(pa.float64()),
    }  # fmt: skip
    fields = [pa.field(name, types[column.type], metadata={"description": column.meaning}) for name, column in columns().items()]
    table.to_parquet(stream, engine="pyarrow", index=False, schema=pa.schema(fields))


_WRITERS: Mapping[str, Callable[[pd.DataFrame, BinaryIO], None]] = MappingProxyType(
    {".csv": _write_csv, ".parquet": _write_parquet, ".json": _write_json}
)


@contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the other's place when all is written, as whole.write_whole does for what memory holds at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _counts(table: pd.DataFrame) -> str:
    """Of the rows of records and of asv's, which have no record: "3 rows of 2 records and 1 row of asv's"."""
    of_records = table[table["fingerprint"].notna()]
    records = len(of_records.drop_duplicates(["machine", "session", "id", "started_at"]))
    told = f"{_number(len(of_records), 'row')} of {_number(records, 'record')}"
    others = len(table) - len(of_records)
    return f"{told} and {_number(others, 'row')} of asv's" if others else told


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
