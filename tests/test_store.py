"""The store keeps every finished record, whatever happens to the writer or the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from attnbench.errors import BadInput
from attnbench.record import SCHEMA, UnreadableRecord, decode, encode
from attnbench.store import Problem, Store, StoreFull
from factory import make_record, make_spec

GOLDEN = Path(__file__).parent / "fixtures" / "record-1.jsonl"


def test_round_trip(results: Path) -> None:
    store = Store(results)
    record = make_record(reason="naïve “reason” 中\n\u2028", curve={"train_loss": [1.0, None]})
    store.append(record)
    assert list(store.read()) == [record]


def test_golden_record_reads_and_writes_the_same_bytes() -> None:
    line = GOLDEN.read_bytes()
    assert encode(decode(line)) == line
    assert decode(line) == make_record()


def test_records_are_strict_json() -> None:
    with pytest.raises(ValueError, match="not finite"):
        encode(make_record(measurements={"forward_s": [float("nan")]}))
    strict = json.loads(encode(make_record()), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert strict["schema"] == SCHEMA


def test_a_newer_schema_is_named() -> None:
    line = encode(make_record()).replace(b'"schema":1', b'"schema":99')
    with pytest.raises(UnreadableRecord, match="schema 99"):
        decode(line)


def test_a_bad_axis_in_a_record_is_unreadable() -> None:
    with pytest.raises(UnreadableRecord, match="kernel"):
        decode(encode(make_record()).replace(b'"track":"kernel"', b'"track":"kernal"'))


def test_corrupt_lines_are_reported_with_file_and_line_and_left_alone(results: Path) -> None:
    store = Store(results)
    first, last = make_record(), make_record(make_spec(seq_len=64))
    store.append(first)
    file = next(results.rglob("*.jsonl"))
    with file.open("ab") as stream:
        stream.write(b'{"schema": 1, "id": \n\xff\xfe\n[]\n')
        stream.write(encode(last))
        stream.write(encode(last)[:100])
    before = file.read_bytes()
    problems: list[Problem] = []
    assert list(store.read(problems)) == [first, last]
    assert [(p.file, p.line) for p in problems] == [(file, 2), (file, 3), (file, 4), (file, 6)]
    assert "cut off" in str(problems[-1])
    assert file.read_bytes() == before


def test_appending_after_a_torn_line_loses_nothing(results: Path) -> None:
    store = Store(results)
    store.append(make_record())
    file = next(results.rglob("*.jsonl"))
    with file.open("ab") as stream:
        stream.write(b'{"torn')
    store.append(make_record(make_spec(seq_len=64)))
    problems: list[Problem] = []
    assert [r.spec.seq_len for r in store.read(problems)] == [1024, 64]
    assert [p.line for p in problems] == [2]


def test_a_missing_folder_says_what_to_do(results: Path) -> None:
    with pytest.raises(BadInput, match="attnbench run"):
        list(Store(results).read())


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "x" * 101])
def test_names_cannot_leave_the_folder(results: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot name a file"):
        Store(results).append(make_record(machine=name))
    assert not results.exists()


def test_a_full_disk_is_reported_and_corrupts_nothing(results: Path) -> None:
    """A file-size limit makes write fail after a part of the line, as a full disk does."""
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from attnbench.store import Store, StoreFull
from factory import make_record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store({str(results)!r})
store.append(make_record())
size = next(store.records.rglob("*.jsonl")).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
try:
    store.append(make_record())
except StoreFull as error:
    print("full:", error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "every finished cell is kept" in done.stdout
    problems: list[Problem] = []
    assert list(Store(results).read(problems)) == [make_record()]
    assert problems == []
    assert issubclass(StoreFull, Exception)


def _write(folder: Path, writer: int, count: int) -> None:
    store = Store(folder)
    for number in range(count):
        store.append(make_record(make_spec(seed=writer * 1000 + number)))


def test_four_writers_to_one_file_lose_and_tear_nothing(results: Path) -> None:
    context = get_context("fork")
    writers = [context.Process(target=_write, args=(results, writer, 50)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    problems: list[Problem] = []
    seeds = [record.spec.seed for record in Store(results).read(problems)]
    assert problems == []
    assert sorted(seeds) == sorted(w * 1000 + n for w in range(4) for n in range(50))


def test_kill_9_loses_at_most_the_record_under_way(results: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from attnbench.store import Store
from factory import make_record, make_spec
store = Store({str(results)!r})
for seed in range(100_000):
    store.append(make_record(make_spec(seed=seed)))
    print(seed, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        time.sleep(0.03)
        os.kill(writer.pid, signal.SIGKILL)
        said = 19 + sum(1 for _ in writer.stdout)
    kept = [record.spec.seed for record in Store(results).read([])]
    assert kept == list(range(len(kept)))
    assert len(kept) >= said + 1


def test_finished_is_by_id_fingerprint_and_machine(results: Path) -> None:
    store = Store(results)
    record = make_record()
    store.append(record)
    assert store.finished("desk") == {(record.id, record.fingerprint): record}
    assert store.finished("other") == {}
