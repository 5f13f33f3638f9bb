"""Finds the faults of a results folder: in every line of every session, check reports, peaks of machines, and files out of place."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from attnbench import registry
from attnbench.errors import BadInput
from attnbench.store import controls, peaks, privacy, record_faults, report
from attnbench.store.asv_files import read_asv
from attnbench.store.lines import lines
from attnbench.store.record import Record, UnreadableRecord, decode
from attnbench.store.store import Problem

LAYOUT = (
    "records/MACHINE/SESSION.jsonl, checks/NAME-FINGERPRINT.json, machines/MACHINE.json, controls/TASK.json, checkpoints/CELL.pt, "
    "checkpoints/SESSION.run, asv/ and README.md"
)


@dataclass(frozen=True)
class Fault:
    """Something wrong in a results folder, and its place. line: None when it concerns the whole file."""

    file: Path
    line: int | None
    level: Literal["error", "warning"]
    what: str

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.level}: {' '.join(self.what.split())}"


def validate(results: Path, seen: Counter[str]) -> Iterator[Fault]:
    """Yield every fault of a results folder, in the order of files and lines, asv's last. Files are read line by line.

    seen: counts the records, reports and files that were examined, by kind.

    Raises BadInput when the folder does not exist.
    """
    if not results.is_dir():
        raise BadInput(f"there is no results folder {str(results)!r}; run `attnbench run --results {results}` first, or give another")
    known = registry.names("variants"), registry.names("tasks")
    for file in sorted(path for path in results.rglob("*") if not path.is_dir() or _stands_for_a_file(path.relative_to(results).parts)):
        try:
            yield from _faults(file, file.relative_to(results).parts, known, seen)
        except OSError as error:
            yield Fault(file, None, "error", f"it cannot be read: {error.strerror or error}")
    yield from _alike(results / "records")
    unreadable: list[Problem] = []
    for _ in read_asv(results / "asv", unreadable):
        seen["asv results"] += 1
    yield from (Fault(problem.file, problem.line, "warning", problem.why) for problem in unreadable)


def _stands_for_a_file(place: tuple[str, ...]) -> bool:
    """Whether a folder at this place is read as a file is."""
    depth, ending = (3, ".jsonl") if place[0] == "records" else (2, ".json") if place[0] in ("checks", "machines", "controls") else (0, "")
    return len(place) == depth and place[-1].endswith(ending)


def _faults(file: Path, place: tuple[str, ...], known: tuple[Collection[str], Collection[str]], seen: Counter[str]) -> Iterator[Fault]:
    """Yield the faults of one file. place: its path in the results folder; known: the names of variants and of tasks."""
    match place:
        case ("records", machine, name) if name.endswith(".jsonl"):
            for line, level, what in _Session(machine, file.stem, *known).faults(file, seen):
                yield Fault(file, line, level, what)
        case ("checks", name) if name.endswith(".json"):
            seen["reports"] += 1
            yield from (Fault(file, None, "error", what) for what in _report_errors(file))
        case ("machines", name) if name.endswith(".json"):
            seen["machines"] += 1
            yield from (Fault(file, None, "error", what) for what in _machine_errors(file))
        case ("controls", name) if name.endswith(".json"):
            seen["controls"] += 1
            yield from (Fault(file, None, "error", what) for what in _control_errors(file))
        case ("README.md",) | ("asv", *_):
            pass
        case ("checkpoints", name) if name.endswith(".pt"):
            yield Fault(file, None, "warning", "a training run was cut short; the command that began it goes on with it")
        case ("checkpoints", name) if name.endswith(".run"):
            yield Fault(file, None, "warning", "a command on a Ray cluster is running or was killed; where none runs, remove the file")
        case _:
            yield Fault(file, None, "error", f"no file belongs here; a results folder holds {LAYOUT}")


def _alike(records: Path) -> Iterator[Fault]:
    """Yield a warning for every machine whose name differs from another's in case alone."""
    first: dict[str, str] = {}
    for folder in sorted(path for path in records.glob("*") if path.is_dir()):
        other = first.setdefault(folder.name.casefold(), folder.name)
        if other != folder.name:
            yield Fault(folder, None, "warning", f"its name differs from {other!r} in case alone: on Windows and macOS they are one folder")


Found = tuple[int | None, Literal["error", "warning"], str]


@dataclass(frozen=True)
class _Session:
    """A session's file: machine and session by its path, and the names of variants and tasks that are registered here."""

    machine: str
    session: str
    variants: Collection[str]
    tasks: Collection[str]

    def faults(self, file: Path, seen: Counter[str]) -> Iterator[Found]:
        begun: dict[tuple[str, str], int] = {}
        can_be_read = False
        for number, line in lines(file):
            try:
                record = decode(line)
            except UnreadableRecord as error:
                torn = _is_torn(line)
                what = "the last line is torn, as a killed writer leaves it" if torn else "the line cannot be read"
                yield number, "warning" if torn else "error", f"{what}: {error}"
                continue
            seen["records"] += 1
            can_be_read = True
            first = begun.setdefault((record.id, record.started_at), number)
            if first != number:
                yield number, "error", f"it is the cell of line {first}, begun at the same second: a line that is there twice"
            yield from ((number, level, what) for level, what in self._of_record(record, line))
        if not can_be_read:
            yield None, "error", "no record in it can be read; a session's file has one record a line: mend it, or delete it"

    def _of_record(self, record: Record, line: bytes) -> Iterator[tuple[Literal["error", "warning"], str]]:
        twice: list[str] = []
        try:
            raw = _plain(line, twice)
            private = list(_private(raw))
        except (ValueError, RecursionError) as error:  # in a field that no record has
            yield "error", f"it has more than a record's fields, which cannot be read: {error}"
            return
        for name in twice:
            yield "error", f"it has {name!r} twice in one object, of which the last counts"
        for what, said, place in (("machine", record.machine, self.machine), ("session", record.session, self.session)):
            if said != place:
                yield "error", f"its {what} is {said!r}, and the file's place says {place!r}"
        for what in (*record_faults.errors(record, raw), *private):
            yield "error", what
        for what in record_faults.warnings(record, raw, self.variants, self.tasks):
            yield "warning", what


def _plain(line: bytes, twice: list[str]) -> dict[str, Any]:
    """A line as plain JSON values; adds the names that an object of it has twice to `twice`."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in found)
        twice.extend(name for name, count in counts.items() if count > 1)
        return dict(found)

    return dict(json.loads(line, object_pairs_hook=pairs))


def _is_torn(line: bytes) -> bool:
    """Whether a line that cannot be read is the beginning of one, as a writer leaves it that is killed: an object that has no end."""
    if line.endswith(b"\n") or not line.startswith(b'{"') or b"\r" in line:
        return False
    try:
        msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return True
    return False


def _report_errors(file: Path) -> Iterator[str]:
    content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    found = report.decode(content)
    if found is None:
        yield f"it is no check report of schema {report.SCHEMA}; delete it, and the next run writes it again"
        return
    if not file.stem.endswith(f"-{found.fingerprint}"):
        yield f"it is the report of fingerprint {found.fingerprint}, which its name does not say"
    yield from _private(msgspec.json.decode(content))


def _machine_errors(file: Path) -> Iterator[str]:
    content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        document = msgspec.json.decode(content, type=_Machine)
        for device, value in document.peaks.items():
            if peaks.from_json(value).device != device:
                yield f"the peaks of {device!r} say that they are of {value['device']!r}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadInput) as error:
        yield f"it cannot be read ({error}); attnbench doctor --peaks measures the machine it runs on"
        return
    if document.machine != file.stem:
        yield f"its machine is {document.machine!r}, and the file's name says {file.stem!r}"
    yield from _private(msgspec.json.decode(content))


def _control_errors(file: Path) -> Iterator[str]:
    content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        found = controls.decode(content)
    except controls.UnreadableControl as error:
        yield f"it is no control ({error}); delete it, and measure it again: python tools/controls.py"
        return
    own = controls.file_of(file.parents[1], found)
    if own != file:
        yield f"it is the control whose file is {own.name}; delete it, or give it that name"
    yield from _private(msgspec.json.decode(content))


class _Machine(msgspec.Struct):
    """The shape of machines/MACHINE.json."""

    schema: Literal[1]
    machine: str
    peaks: dict[str, dict[str, Any]]


def _private(raw: object) -> Iterator[str]:
    for place, text in privacy.texts(raw):
        told = privacy.private(text)
        if told is not None:
            yield f"{place} gives away {told}; it must not be published"
