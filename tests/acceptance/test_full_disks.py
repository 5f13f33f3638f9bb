"""A disk that fills up, under a writer and under a sweep: a line says so, nothing is lost, and it goes on once there is room."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from helpers.paths import TESTS
from helpers.small_disk import on_a_small_disk

pytestmark = pytest.mark.long
CELLS = [json.dumps({"track": "kernel", "variant": "softmax", "seq_len": n, "mode": "forward"}) for n in (16, 32)]


def script(body: str) -> list[str]:
    """A command that runs a program which knows Store, StoreFull, make_record and make_spec."""
    start = f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nfrom attnbench.store.store import Store, StoreFull\n"
    return [sys.executable, "-c", f"{start}from helpers.records import make_record, make_spec\n{body}"]


def test_a_full_disk_is_reported_corrupts_nothing_and_goes_on_after(tmp_path: Path) -> None:
    """Records are appended until the disk is full; then room is made, and one more is."""
    disk = tmp_path / "disk"
    body = f"""
from pathlib import Path
filler = Path({str(disk)!r}, "filler")
filler.write_bytes(b"x" * 8192)
store, count = Store({str(disk / "results")!r}), 0
file = store.records / "desk" / "20261122T000000Z-abcdef.jsonl"
while True:
    before = file.read_bytes() if file.exists() else b""
    try:
        store.append(make_record(make_spec(seed=count)))
    except StoreFull as error:
        print("full:", error)
        break
    count += 1
assert file.read_bytes() == before, "the file is not as it was"
filler.unlink()
store.append(make_record(make_spec(seed=count)))
problems = []
seeds = [record.spec.seed for record in store.read(problems)]
assert seeds == list(range(count + 1)) and not problems, (count, seeds, problems)
print("kept:", len(seeds))
"""
    done = on_a_small_disk(script(body), disk)
    assert done.returncode == 0, done.stderr
    assert "No space left on device; every finished cell is kept" in done.stdout
    assert int(done.stdout.split("kept:")[1]) > 10
    assert not list(disk.iterdir()), "the disk was this process's too"


def test_a_disk_without_room_for_a_folder_is_reported(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    body = f"""
try:
    Store({str(disk / "results")!r}).append(make_record())
except StoreFull as error:
    print("full:", error)
"""
    done = on_a_small_disk(script(body), disk, names=3)  # its root, results and records
    assert done.returncode == 0, done.stderr
    assert "full: could not write to" in done.stdout


def test_a_disk_that_fills_up_under_a_sweep_stops_it_in_a_line_and_loses_nothing(tmp_path: Path) -> None:
    """What is finished is kept, and the same command goes on once there is room. Space is left for the peaks, a check, and two records."""
    disk = tmp_path / "disk"
    script = f"""
import subprocess, sys
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
from attnbench.store.store import Store
from helpers.records import know_machine
disk = Path({str(disk)!r})
results, filler = disk / "results", disk / "filler"
know_machine(results)

def run(cell):
    command = [sys.executable, "-m", "attnbench", "run", "--busy", "--results", str(results), "--cell", cell]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done

def fill():
    with filler.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"x" * 512):
                pass
        except OSError:
            pass

first, second = {CELLS!r}
done = run(first)
assert done.returncode == 0, (done.stdout, done.stderr)
(kept,) = Store(results).read()
fill()
done = run(second)
assert done.returncode == 1, (done.stdout, done.stderr)
error = " ".join(done.stderr.split())
assert error.startswith("error: could not write to") and "No space left on device; every finished cell is kept" in error, error
assert list(Store(results).read()) == [kept]
filler.unlink()
done = run(second)
assert done.returncode == 0, (done.stdout, done.stderr)
assert "Nothing to do" in run(first).stdout
problems = []
records = list(Store(results).read(problems))
assert [r.spec.seq_len for r in records] == [16, 32] and not problems, (records, problems)
print("held")
"""
    done = on_a_small_disk([sys.executable, "-c", script], disk)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "held"
