"""The store of records: the files records/MACHINE/SESSION.jsonl of a results folder. Records are appended, safe against crashes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from attnbench.errors import AttnbenchError, BadInput
from attnbench.store.environment import SAFE_NAME
from attnbench.store.file_lock import locked
from attnbench.store.newest import newest
from attnbench.store.record import PYTEST_BENCHMARK, Record, UnreadableRecord, decode, encode


@dataclass(frozen=True)
class Problem:
    """A line that could not be read: where it is and why."""

    file: Path
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


class StoreFull(AttnbenchError):
    """Raised when a record could not be written; the records stored before are unharmed."""


class Store:
    """Reads and writes the records of a results folder. The first append makes the folder; reading a missing one raises BadInput."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.records = self.folder / "records"

    def append(self, record: Record) -> None:
        """Write one record to its session's file and flush it to the disk, holding a lock against other processes.

        Raises StoreFull when the line could not be written whole; the file is then as it was before.
        """
        line = encode(record)
        file = self._file(record)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a+b", buffering=0) as stream, locked(stream, file):  # a buffer would be flushed again when a write was undone
                if stream.seek(0, os.SEEK_END) == 0:
                    self._flush_names(file)
                _append_whole(stream, line)
        except OSError as error:
            raise StoreFull(
                f"could not write to {file}: {error.strerror or error}; every finished cell is kept, and the same command "
                "goes on from there once the folder can be written"
            ) from error

    def read(self, problems: list[Problem] | None = None) -> Iterator[Record]:
        """Yield every readable record, in the order of files and lines; adds unreadable lines to `problems` and skips them.

        Raises BadInput when the results folder does not exist.
        """
        if not self.folder.is_dir():
            raise BadInput(f"there is no results folder {str(self.folder)!r}; run `attnbench run --results {self.folder}` first")
        for file in sorted(self.records.glob("*/*.jsonl")):
            yield from _read_file(file, problems)

    def finished(
        self, machine: str, fingerprint: str = "", ran_here: Callable[[Record], bool] = lambda record: True
    ) -> dict[tuple[str, str], Record]:
        """The newest record of every (id, fingerprint) that attnbench measured on this machine; imported records are left out.

        fingerprint: if given, only records of these sources; the others are not decoded. ran_here: whether a record was measured on the
        part of the machine that counts; the others are left out, so that the newest is the newest of that part.
        """
        files = sorted((self.records / machine).glob("*.jsonl"))
        records = (record for file in files for record in _read_file(file, None, fingerprint.encode()))
        measured = (record for record in records if record.origin.by != PYTEST_BENCHMARK and ran_here(record))
        counting = newest(measured, cell=lambda record: (record.id, record.fingerprint))
        return {(record.id, record.fingerprint): record for record in counting}

    def _file(self, record: Record) -> Path:
        for what, name in (("machine", record.machine), ("session", record.session)):
            if not SAFE_NAME.fullmatch(name):
                raise BadInput(f"the {what} name {name!r} cannot name a file; use letters, digits, '.', '_' and '-', 100 at most")
        return self.records / record.machine / f"{record.session}.jsonl"

    def _flush_names(self, file: Path) -> None:
        """Flush the folders that hold a new session's file, so that its name is on the disk; fsync of the file may not do that."""
        for folder in (file.parent, self.records, self.folder):
            with suppress(OSError):  # Windows opens no folder, and some file systems refuse to flush one
                handle = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)


def _append_whole(stream: FileIO, line: bytes) -> None:
    """Append a line, or leave the file as it was."""
    size = stream.seek(0, os.SEEK_END)
    if size:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":
            line = b"\n" + line  # a killed writer left half a line; start a new one
    try:
        while line:
            line = line[stream.write(line) :]
        os.fsync(stream.fileno())
    except OSError:
        os.ftruncate(stream.fileno(), size)
        raise


def _read_file(file: Path, problems: list[Problem] | None, holding: bytes = b"") -> Iterator[Record]:
    """Yield the records of a file; only of lines that contain the bytes `holding`."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.isspace() or holding not in line:
                continue
            try:
                yield decode(line)
            except UnreadableRecord as error:
                if problems is not None:
                    cut = "" if line.endswith(b"\n") else "cut off: "
                    problems.append(Problem(file, number, cut + str(error)))
