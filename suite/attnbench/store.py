"""The store: records/MACHINE/SESSION.jsonl under a results folder. Appended at once, crash-safe, never rewritten by readers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from attnbench.environment import SAFE_NAME
from attnbench.errors import AttnbenchError, BadInput
from attnbench.record import Record, UnreadableRecord, decode, encode


@dataclass(frozen=True)
class Problem:
    """A line that could not be read: where it is and why."""

    file: Path
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


class StoreFull(AttnbenchError):
    """A record could not be written; what was there before is whole."""


class Store:
    """A results folder. It is made by the first append; reading one that is not there raises BadInput."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.records = self.folder / "records"

    def append(self, record: Record) -> None:
        """Write one record to its session's file and flush it to the disk, under a lock that other processes obey.

        Raises StoreFull when the line could not be written whole; the file is then as it was before.
        """
        line = encode(record)
        file = self._file(record)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(file.with_suffix(".lock")):
                _append_whole(file, line)
        except OSError as error:
            raise StoreFull(
                f"could not write to {file}: {error.strerror or error}; every finished cell is kept, and the same command "
                "goes on from there once the folder can be written"
            ) from error

    def read(self, problems: list[Problem] | None = None) -> Iterator[Record]:
        """Every readable record, in the order of files and lines; unreadable lines are added to `problems` and skipped.

        Raises BadInput when the results folder does not exist.
        """
        if not self.folder.is_dir():
            raise BadInput(f"there is no results folder {str(self.folder)!r}; run `attnbench run --results {self.folder}` first")
        for file in sorted(self.records.glob("*/*.jsonl")):
            yield from _read_file(file, problems)

    def finished(self, machine: str) -> dict[tuple[str, str], Record]:
        """The newest record of every (id, fingerprint) measured on this machine."""
        found: dict[tuple[str, str], Record] = {}
        for file in sorted((self.records / machine).glob("*.jsonl")):
            for record in _read_file(file, None):
                found[record.id, record.fingerprint] = record
        return found

    def _file(self, record: Record) -> Path:
        for what, name in (("machine", record.machine), ("session", record.session)):
            if not SAFE_NAME.fullmatch(name):
                raise BadInput(f"the {what} name {name!r} cannot name a file; use letters, digits, '.', '_' and '-', 100 at most")
        return self.records / record.machine / f"{record.session}.jsonl"


def _append_whole(file: Path, line: bytes) -> None:
    with file.open("ab", buffering=0) as stream:  # a buffer would be flushed again by close, after the file was cut back
        size = stream.seek(0, os.SEEK_END)
        if size and _last_byte(file) != b"\n":
            line = b"\n" + line  # a writer was killed in its line; ours starts on its own
        try:
            while line:
                line = line[stream.write(line) :]
            os.fsync(stream.fileno())
        except OSError:
            os.ftruncate(stream.fileno(), size)
            raise


def _last_byte(file: Path) -> bytes:
    with file.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1)


def _read_file(file: Path, problems: list[Problem] | None) -> Iterator[Record]:
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                yield decode(line)
            except UnreadableRecord as error:
                if problems is not None:
                    cut = "" if line.endswith(b"\n") else "cut off: "
                    problems.append(Problem(file, number, cut + str(error)))
