"""`attnbench export`: writes the frame as a CSV, Parquet or JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from attnbench.analysis.file_formats import WRITERS
from attnbench.analysis.frame import load
from attnbench.cli.filters import Filter, filtered
from attnbench.cli.terminal import print_problems
from attnbench.errors import BadInput
from attnbench.store.files import whole
from attnbench.store.store import Problem

if TYPE_CHECKING:
    import pandas as pd


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
    """Write the rows of a results folder to a file, and print how many there are.

    track, variant, machine: only rows of these, if given. curves: rows of training curves too.

    Raises BadInput for an ending other than .csv, .parquet and .json; when the folder is missing, holds no records, or has no such track,
    variant or machine; and when the file cannot be written.
    """
    write = WRITERS.get(file.suffix)
    if write is None:
        came = f"ends in {file.suffix!r}" if file.suffix else "has no ending"
        raise BadInput(f"the file's name, {file.name!r}, {came}; give one that ends in {', '.join(WRITERS)}")
    problems: list[Problem] = []
    table = load(results, problems, curves)
    print_problems(err, problems)
    table = filtered(table, results, Filter(track, variant, machine))
    try:
        with whole(file) as stream:
            write(table, stream)
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror or error}") from error
    out.print(f"Wrote {_counts(table)} to {file}", markup=False, highlight=False, soft_wrap=True)


def _counts(table: pd.DataFrame) -> str:
    """The numbers of rows and records as text; rows from asv have no record: "3 rows of 2 records and 1 row of asv's"."""
    of_records = table[table["fingerprint"].notna()]
    records = len(of_records.drop_duplicates(["machine", "session", "id", "started_at"]))
    told = f"{_number(len(of_records), 'row')} of {_number(records, 'record')}"
    others = len(table) - len(of_records)
    return f"{told} and {_number(others, 'row')} of asv's" if others else told


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
