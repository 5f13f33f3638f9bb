"""The store of records: the files records/MACHINE/SESSION.jsonl of a results folder. Records are appended, safe against crashes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from attnbench.errors import AttnbenchError, BadInput
from attnbench.store import names
from attnbench.store.file_lock import locked
from attnbench.store.lines import lines
from attnbench.store.newest import newest
from attnbench.store.record import PYTEST_BENCHMARK, Record, UnreadableRecord, decode, encode, why_unreadable

_OF_TASKS = b'"track":"task"'  # in the line of every record of the task track, and of hardly another


@dataclass(frozen=True)
class Problem:
    """A line that could not be read: where it is and why. line: None when it concerns the whole file."""

    file: Path
    line: int | None
    why: str

    def __str__(self) -> str:
        return f"{self.file}: {self.why}" if self.line is None else f"{self.file}:{self.line}: {self.why}"


class StoreFull(AttnbenchError):
    """Raised when a record could not be written; the records stored before are unharmed."""


class Store:
    """Reads and writes the records of a results folder. The first append makes the folder; reading a missing one raises BadInput."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.records = self.folder / "records"

    def append(self, record: Record) -> None:
        """Write one record to its session's file and flush it to the disk, holding a lock against other processes.

        Raises BadInput for a record that could not be read back, or whose machine or session cannot name a file, and StoreFull when the
        line could not be written whole; the file is then as it was before.
        """
        file = self._file(record)
        why = why_unreadable(record)
        if why is not None:
            raise BadInput(f"this record could not be read back, so it is not stored: {why}")
        line = encode(record)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            while not self._appended(file, line):
                pass
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
        self,
        machine: str,
        fingerprint: str = "",
        ran_here: Callable[[Record], bool] = lambda record: True,
        counts_elsewhere: Callable[[Record], bool] | None = None,
    ) -> dict[tuple[str, str], Record]:
        """The newest record of every (id, fingerprint) that attnbench measured on this machine; imported records are left out.

        fingerprint: if given, only records of these sources; the others are not decoded. ran_here: whether a record was measured on the
        part of the machine that counts; the others are left out, so that the newest is the newest of that part. counts_elsewhere: whether a
        record of a task that another machine made serves here as well; without it, none does.
        """
        files = [(file, fingerprint.encode(), ran_here) for file in sorted((self.records / machine).glob("*.jsonl"))]
        if counts_elsewhere is not None:
            others = (file for file in sorted(self.records.glob("*/*.jsonl")) if file.parent.name != machine)
            files += [(file, _OF_TASKS, counts_elsewhere) for file in others]
        records = (record for file, holding, counts in files for record in _read_file(file, None, holding) if counts(record))
        measured = (record for record in records if record.origin.by != PYTEST_BENCHMARK and fingerprint in ("", record.fingerprint))
        counting = newest(measured, cell=lambda record: (record.id, record.fingerprint))
        return {(record.id, record.fingerprint): record for record in counting}

    def _appended(self, file: Path, line: bytes) -> bool:
        """Append a line; False if another process, whose first line could not be written, removed the file just before."""
        with file.open("a+b", buffering=0) as stream, locked(stream, file):  # a buffer would be flushed again when a write was undone
            if os.fstat(stream.fileno()).st_nlink == 0:
                return False
            is_new = stream.seek(0, os.SEEK_END) == 0
            if is_new:
                self._flush_names(file)
            try:
                _append_whole(stream, line)
            except OSError:
                if is_new:  # an empty file is no session's
                    file.unlink(missing_ok=True)
                raise
        return True

    def accept(self, machine: str) -> None:
        """Raise BadInput when records of this machine cannot be stored here. A machine that has records already keeps its name."""
        try:
            there = [folder.name for folder in self.records.iterdir()]
        except OSError:  # no folder yet, or one that cannot be read, as reading and writing will say
            there = []
        if machine in there and names.SAFE_NAME.fullmatch(machine):
            return
        why = names.refusal(machine)
        if why is not None:
            raise BadInput(f"the machine name {machine!r} cannot name a file; {why}")
        alike = next((name for name in there if name.casefold() == machine.casefold()), None)
        if alike is not None:
            raise BadInput(
                f"{self.records} has the machine {alike!r}, and {machine!r} differs from it in case alone: they are one folder on "
                f"Windows and macOS; set ATTNBENCH_MACHINE={alike}, or give another name"
            )

    def file(self, machine: str, session: str) -> Path:
        """The file that holds a session's records, or will hold them."""
        return self.records / machine / f"{session}.jsonl"

    def _file(self, record: Record) -> Path:
        self.accept(record.machine)
        why = names.refusal(record.session)
        if why is not None:
            raise BadInput(f"the session name {record.session!r} cannot name a file; {why}")
        return self.file(record.machine, record.session)

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
    found = [] if problems is None else problems
    try:
        for number, line in lines(file):
            if holding not in line:
                continue
            try:
                yield decode(line)
            except UnreadableRecord as error:
                cut = "" if line.endswith(b"\n") else "cut off: "
                found.append(Problem(file, number, cut + str(error)))
    except OSError as error:  # a folder of that name, or a file that may not be read
        found.append(Problem(file, None, f"it cannot be read: {error.strerror or error}"))
