"""Runs every command that reads a store on a store of damaged records, and says what it did not survive or did not show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from attnbench.store.record import decode
from attnbench.store.store import Store
from attnbench.website.links import variant_file
from helpers.command import cli_here
from helpers.damage import Line, with_lines

MACHINE = "cloud-2core"  # whose name this machine takes, so that `run` reads its records
PRINTED = 20  # letters of a name that `show` prints at least
Key = tuple[str, str, str, str]  # machine, session, id and beginning of a record


def complaints(store: Path, folder: Path) -> Iterator[str]:
    """Yield what is wrong: a command that ended in an unexpected error, or a sound record that one does not show. folder: for output."""
    site, tables = folder / "site", {ending: folder / f"table{ending}" for ending in (".csv", ".parquet", ".json")}
    commands: list[Sequence[str]] = [
        ("show",),
        ("site", "--out", str(site)),
        *(("export", str(table), "--curves") for table in tables.values()),
        ("compare", "softmax", "orthogonal"),
        ("compare", "cloud-2core", "cloud-h100", "--json"),
        ("claims", "--json"),
        ("run", "--dry-run"),
        ("doctor", "--json"),
    ]
    printed = dict[str, str]()
    for command in commands:
        code, said = _done(*command, "--results", str(store))
        printed[command[0]] = said
        if code != 0 and not (command[0] == "compare" and "unexpected error" not in said):
            yield f"{command[0]} ended with {code}: {said[-1000:]}"
            return
    code, said = _done("validate", str(store), "--json")
    if code not in (0, 1) or "unexpected error" in said:
        yield f"validate ended with {code}: {said[-1000:]}"
        return
    sound = _sound(store, json.loads(said[: said.rindex("}") + 1])["faults"])
    yield from _left_out(sound, store, site, tables)
    for name in sorted({record.spec.variant for record in Store(store).read([]) if record.spec.evaluate == "test"}):
        if name[:PRINTED] not in printed["show"]:  # the rest of a long one may be cut off
            yield f"show has no {name[:PRINTED]!r}"


def _done(*command: str) -> tuple[int, str]:
    done = cli_here(*command, ATTNBENCH_MACHINE=MACHINE)
    return done.returncode, done.stdout + done.stderr


def _sound(store: Path, faults: list[dict[str, Any]]) -> Counter[Key]:
    """The records in which `validate` found no error, and how many rows an export has for each."""
    wrong = {(fault["file"], fault["line"]) for fault in faults if fault["level"] == "error"}
    found: Counter[Key] = Counter()
    for file in sorted(store.glob("records/*/*.jsonl")):
        for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
            if line.strip() and (str(file), number) not in wrong:
                record = decode(line)
                columns = [name for name, column in record.curve.items() if any(x is not None for x in column)]
                found[(record.machine, record.session, record.id, record.started_at)] = max(1, len(record.measurements) + len(columns))
    return found


def _left_out(sound: Counter[Key], store: Path, site: Path, tables: dict[str, Path]) -> Iterator[str]:
    """Yield the sound records that a table lacks, or shows in part, and the mechanisms without a page."""
    read = {
        ".csv": lambda: pd.read_csv(tables[".csv"], keep_default_na=False, dtype=str),
        ".parquet": lambda: pd.read_parquet(tables[".parquet"]),
        ".json": lambda: pd.DataFrame(json.loads(tables[".json"].read_bytes(), parse_constant=lambda name: 1 / 0)),
        "the site": lambda: pd.read_parquet(site / "data" / "attnbench.parquet"),
    }
    for table, rows in read.items():
        columns = rows()[["machine", "session", "id", "started_at"]]
        shown = Counter(columns.itertuples(index=False, name=None))
        yield from (f"{table} has {shown[key]} rows of {key}, not {rows}" for key, rows in sound.items() if shown[key] < rows)
    for record in Store(store).read([]):
        if not (site / variant_file(record.spec.variant)).is_file():
            yield f"the site has no page of {record.spec.variant!r}"


def assert_survives(store: Path, lines: Sequence[Line], folder: Path) -> None:
    """Assert that every command reads the store and shows what is sound in it; if not, name the lines. folder: for output."""
    folder.mkdir(parents=True)
    found = next(complaints(store, folder), None)
    if found is not None:
        told = "\n".join(f"{place}: {line[:3000]!r}" for place, line in _culprits(lines, folder))
        raise AssertionError(f"{found}\nin {store}; the fewest lines found that do harm:\n{told[:20_000]}")


def _culprits(lines: Sequence[Line], folder: Path) -> Sequence[Line]:
    """A part of the lines that does harm, halved as long as one of the halves does."""
    while len(lines) > 1:
        halves = lines[: len(lines) // 2], lines[len(lines) // 2 :]
        harmful = next((half for half in halves if _does_harm(half, folder)), None)
        if harmful is None:
            break
        lines = harmful
    return lines


def _does_harm(lines: Sequence[Line], folder: Path) -> bool:
    with TemporaryDirectory(dir=folder) as own:
        (Path(own) / "out").mkdir()
        return any(complaints(with_lines(Path(own) / "results", lines), Path(own) / "out"))
