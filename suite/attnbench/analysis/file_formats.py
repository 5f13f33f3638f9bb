"""Writes the frame as a CSV, Parquet or JSON file, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from attnbench.analysis.columns import columns

if TYPE_CHECKING:
    import pandas as pd

_ROWS_AT_ONCE = 10_000  # of JSON
_ROWS_OF_A_GROUP = 200_000  # of Parquet


def _stable(table: pd.DataFrame) -> pd.DataFrame:
    """The table with types that do not depend on its rows: integer columns stay integers beside missing values; params as JSON text."""
    whole = {name: "Int64" for name, column in columns().items() if column.type == "integer"}
    return table.astype(whole).assign(params=[msgspec.json.encode(params, order="deterministic").decode() for params in table["params"]])


def _write_csv(table: pd.DataFrame, stream: BinaryIO) -> None:
    """Write CSV, with samples as JSON text. Lines end in CR LF (RFC 4180), so that a text that holds either of the two is quoted."""
    table = _stable(table)
    texts = table.assign(samples=[msgspec.json.encode(samples).decode() for samples in table["samples"]])
    texts.to_csv(stream, index=False, lineterminator="\r\n", encoding="utf-8")


def _write_json(table: pd.DataFrame, stream: BinaryIO) -> None:
    """Write a JSON list of objects, one a line; null for a value that is missing or not finite. params is an object, not a text."""
    for start in range(0, len(table), _ROWS_AT_ONCE):
        part = _stable(table.iloc[start : start + _ROWS_AT_ONCE])
        plain = {name: _plain(part[name]) for name in part.columns}
        plain["params"] = [msgspec.Raw(text.encode()) for text in part["params"]]
        lines = [msgspec.json.encode(dict(zip(plain, values, strict=True))) for values in zip(*plain.values(), strict=True)]
        stream.write((b",\n" if start else b"[\n") + b",\n".join(lines))
    stream.write(b"\n]\n")


def _plain(column: pd.Series[Any]) -> list[Any]:
    """The values of a column as Python objects, None for a missing one."""
    return column.astype(object).where(column.notna(), None).tolist()


def write_parquet(table: pd.DataFrame, stream: BinaryIO) -> None:
    """Write Parquet, with params as JSON text; the "description" in a field's metadata says what the column means."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    types = {
        "text": pa.string(), "object": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(),
        "list of numbers": pa.list_(pa.float64()),
    }  # fmt: skip
    fields = [pa.field(name, types[column.type], metadata={"description": column.meaning}) for name, column in columns().items()]
    schema = pa.schema(fields)
    with pq.ParquetWriter(stream, schema) as writer:
        for start in range(0, max(len(table), 1), _ROWS_OF_A_GROUP):
            part = pa.Table.from_pandas(_stable(table.iloc[start : start + _ROWS_OF_A_GROUP]), schema=schema, preserve_index=False)
            writer.write_table(part)


WRITERS: Mapping[str, Callable[[pd.DataFrame, BinaryIO], None]] = MappingProxyType(
    {".csv": _write_csv, ".parquet": write_parquet, ".json": _write_json}
)
