"""Whatever happens to a writer or to the disk, finished records are kept whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from attnbench.store.record import decode, encode
from attnbench.store.store import Problem, Store
from helpers.paths import TESTS
from helpers.records import make_record, make_spec

WRITERS, RECORDS = 4, 500


def script(body: str) -> list[str]:
    """A command that runs a program which knows Store, StoreFull, make_record and make_spec."""
    start = f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nfrom attnbench.store.store import Store, StoreFull\n"
    return [sys.executable, "-c", f"{start}from helpers.records import make_record, make_spec\n{body}"]


def test_a_write_that_breaks_off_is_reported_and_leaves_the_file_as_it_was(results: Path) -> None:
    """A file-size limit makes write fail after a part of the line."""
    body = f"""
import resource, signal
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
    done = subprocess.run(script(body), capture_output=True, text=True, check=True)
    assert "every finished cell is kept" in done.stdout
    problems: list[Problem] = []
    assert list(Store(results).read(problems)) == [make_record()]
    assert problems == []


def test_a_first_write_that_breaks_off_leaves_no_empty_session(results: Path) -> None:
    """A file without a record is an error to `validate`, and the same command goes on once there is room."""
    body = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
store = Store({str(results)!r})
try:
    store.append(make_record())
except StoreFull as error:
    print("full:", [file.name for file in store.records.rglob("*.jsonl")])
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
store.append(make_record())
"""
    done = subprocess.run(script(body), capture_output=True, text=True, check=True)
    assert done.stdout == "full: []\n"
    assert list(Store(results).read()) == [make_record()]


def test_appending_after_a_torn_line_loses_nothing(results: Path) -> None:
    """Torn anywhere: in the middle of a character, before the closing brace, or before the end of the line."""
    whole = encode(make_record(reason="中"))
    ends = [1, 100, whole.index("中".encode()) + 1, len(whole) - 2, len(whole) - 1]
    for end in ends:
        session = f"torn-at-{end}"
        store = Store(results)
        store.append(make_record(session=session))
        file = results / "records" / "desk" / f"{session}.jsonl"
        with file.open("ab") as stream:
            stream.write(whole[:end])
        store.append(make_record(make_spec(seq_len=64), session=session))
        first, *between, last = file.read_bytes().splitlines(keepends=True)
        assert (decode(first).spec.seq_len, decode(last).spec.seq_len) == (1024, 64)
        assert between == [whole[:end] + b"\n"]
    problems: list[Problem] = []
    assert len(list(Store(results).read(problems))) == 2 * len(ends) + 1  # the last was whole but for its newline
    assert [problem.line for problem in problems] == [2] * (len(ends) - 1)


def _write(folder: Path, writer: int, session: str) -> None:
    store = Store(folder)
    for number in range(RECORDS):
        store.append(make_record(make_spec(seed=writer * RECORDS + number), session=session))


@pytest.mark.parametrize("sessions", [["one"] * WRITERS, ["one", "two", "three", "four"]], ids=["same file", "a file each"])
def test_four_writers_at_once_lose_and_tear_nothing(results: Path, sessions: list[str]) -> None:
    context = get_context("fork")
    writers = [context.Process(target=_write, args=(results, writer, session)) for writer, session in enumerate(sessions)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=240)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    problems: list[Problem] = []
    seeds = [record.spec.seed for record in Store(results).read(problems)]
    assert problems == []
    assert sorted(seeds) == list(range(WRITERS * RECORDS))
    for writer in range(WRITERS):  # and each writer's own stand in the order in which it wrote them
        own = [seed for seed in seeds if seed // RECORDS == writer]
        assert own == sorted(own)


def test_a_writer_waits_for_who_holds_the_file_and_a_killed_one_holds_nothing(results: Path) -> None:
    store = Store(results)
    store.append(make_record())
    file = next(results.rglob("*.jsonl"))
    holder = f"""
import fcntl, time
with open({str(file)!r}, "ab") as stream:
    fcntl.flock(stream, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(600)
"""
    with (
        subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True) as holding,
        subprocess.Popen(script(f"Store({str(results)!r}).append(make_record())")) as waiting,
    ):
        assert holding.stdout is not None
        assert holding.stdout.readline() == "held\n"
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=3)
        assert len(list(store.read())) == 1
        holding.kill()
        assert waiting.wait(timeout=60) == 0
    assert len(list(store.read())) == 2


def test_kill_9_loses_at_most_the_record_under_way(results: Path) -> None:
    body = f"""
store = Store({str(results)!r})
for seed in range(100_000):
    store.append(make_record(make_spec(seed=seed)))
    print(seed, flush=True)
"""
    with subprocess.Popen(script(body), stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        time.sleep(0.03)
        os.kill(writer.pid, signal.SIGKILL)
        said = 19 + sum(1 for _ in writer.stdout)
    kept = [record.spec.seed for record in Store(results).read([])]
    assert kept == list(range(len(kept)))
    assert len(kept) >= said + 1
