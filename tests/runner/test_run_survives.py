"""A sweep goes on whatever its cells and its disk do, and what it finished is kept."""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from attnbench.cli.run import Choice, sweep
from attnbench.store.store import Problem, Store
from helpers.command import cli_here
from helpers.factory import know_machine
from helpers.misbehaving import PATIENCE_S, write_variant
from helpers.paths import TESTS
from helpers.small_disk import on_a_small_disk

MISHAPS = """
if seq_len == 256:
    raise ValueError("half a pair: \\ud800")
if seq_len == 512:
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")
    raise Mute
if seq_len == 1024:
    raise Unsupported("x" * 10**7)
if seq_len == 2048:
    os.kill(os.getpid(), signal.SIGSEGV)
if seq_len == 4096:
    v = v * torch.nan
"""
OUTCOMES = {
    256: ("error", "ValueError: half a pair: \\ud800"),
    512: ("error", "Mute: (its text cannot be had: RuntimeError)"),
    1024: ("skipped", "xxxx"),
    2048: ("error", "died of SIGSEGV"),
    4096: ("incorrect", "the output holds values that are not finite"),
}


def test_a_sweep_survives_everything_its_cells_do(results: Path, tmp_path: Path) -> None:
    source = write_variant(tmp_path, MISHAPS)
    printed = Console(file=StringIO(), width=160)
    choice = Choice(tracks=("kernel",), variants=(source,))
    assert sweep(choice, results, PATIENCE_S, rerun=False, dry_run=False, console=printed) == 1
    problems: list[Problem] = []
    records = list(Store(results).read(problems))
    assert problems == []
    assert [(r.spec.seq_len, r.spec.mode) for r in records] == [(n, mode) for n in OUTCOMES for mode in ("forward", "training")]
    for record in records:
        status, said = OUTCOMES[record.spec.seq_len or 0]
        assert record.status == status, record
        assert (record.reason or "").startswith(said), record
        assert len(record.reason or "") < 3000
        assert record.measurements == {}
        assert record.stage in ("warm up", "time", "verify")
    shown = cli_here("show", "--results", str(results))
    assert shown.returncode == 0, shown.stderr
    assert "not finite" in shown.stdout


CELLS = [json.dumps({"track": "kernel", "variant": "softmax", "seq_len": n, "mode": "forward"}) for n in (16, 32)]


def test_a_disk_that_fills_up_under_a_sweep_stops_it_in_a_line_and_loses_nothing(tmp_path: Path) -> None:
    """What is finished is kept, and the same command goes on once there is room. Space is left for the peaks, a check, and two records."""
    disk = tmp_path / "disk"
    script = f"""
import subprocess, sys
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
from attnbench.store.store import Store
from helpers.factory import know_machine
disk = Path({str(disk)!r})
results, filler = disk / "results", disk / "filler"
know_machine(results)

def run(cell):
    command = [sys.executable, "-m", "attnbench", "run", "--results", str(results), "--cell", cell]
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
