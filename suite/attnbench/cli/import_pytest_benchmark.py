"""`attnbench import-pytest-benchmark`: stores what pytest-benchmark measured as records, each once."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from attnbench.errors import BadInput
from attnbench.store.pytest_benchmark_files import read_pytest_benchmark
from attnbench.store.record import Record
from attnbench.store.store import Store


def import_file(file: Path, results: Path, console: Console) -> None:
    """Append the records of a file that the store does not have yet, and print how many were imported and skipped.

    Raises BadInput when the file is not pytest-benchmark's, or no benchmark in it is attnbench's.
    """
    found = read_pytest_benchmark(file)
    for why in found.skipped:
        console.print(f"skipped {why}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if not found.records:
        raise BadInput(f"none of the {len(found.skipped)} benchmarks in {file} makes a record; run those of attnbench's own benchmarks/")
    store = Store(results)
    known = {_key(record) for record in store.read([])} if results.is_dir() else set()
    new = [record for record in found.records if _key(record) not in known]
    for record in new:
        store.append(record)
    console.print(
        f"Session {found.records[0].session} in {results / 'records'}; records imported: {len(new)}, "
        f"there already: {len(found.records) - len(new)}; benchmarks skipped: {len(found.skipped)}.",
        highlight=False,
        soft_wrap=True,
    )


def _key(record: Record) -> tuple[str, str, str]:
    return record.machine, record.session, record.id
