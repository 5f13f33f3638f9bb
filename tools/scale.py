"""Large stores: loading, ranking and the site, as ratios to simpler work on the same bytes or rows, measured in the same round.

    make scale                        # 10,000 and 100,000 records, a million rows; about ten minutes
    python tools/scale.py --quick     # a tenth of everything

Every figure is the median over rounds of one ratio; each command runs in a process of its own, as a user starts it. Peak memory is that of
the largest of its processes, over the size of the files it read. Nothing is asserted: a speed is a finding.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import _stores

ROUNDS = 3
TOOLS = Path(__file__).parent
# What every child runs: `work()` is timed, and what was needed is printed as JSON.
CHILD = """
import json, resource, sys, time
{body}
began = time.perf_counter()
work()
took_s = time.perf_counter() - began
peak_kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps([took_s, peak_kib * 1024]))
"""
DECODE = """
import msgspec
from pathlib import Path
def work():
    decoder = msgspec.json.Decoder()
    for file in Path({results!r}).rglob("*.jsonl"):
        for line in file.read_bytes().splitlines():
            decoder.decode(line)
"""
LOAD = """
import attnbench, pandas, attnbench.analysis.frame
def work():
    attnbench.load({results!r})
"""
SITE = """
import contextlib, io
from attnbench.cli import main
sys.argv = ["attnbench", "site", "--results", {results!r}, "--out", {out!r}]
def work():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()
"""
TABLE = """
sys.path.insert(0, {tools!r})
from _stores import many_rows
table = many_rows({rows})
"""
PASS = """
import numpy as np
def work():
    samples = table["samples"].tolist()
    starts = np.cumsum([0, *map(len, samples[:-1])])
    np.add.reduceat(np.concatenate(samples), starts)
"""
RANK = """
from attnbench.analysis.ranking import ranking
def work():
    ranking(table, {what!r}, "kernel")
"""
LIST = """
import subprocess
def work():
    subprocess.run([sys.executable, *{command!r}], check=True, capture_output=True)
"""


@dataclass(frozen=True)
class Cost:
    """Of one child: the seconds of its work, and the bytes of its largest process."""

    took_s: float
    peak_bytes: float


def child(body: str, **names: object) -> Cost:
    command = [sys.executable, "-c", CHILD.format(body=body.format(**names))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise SystemExit(f"a child ended with {done.returncode}:\n{done.stderr}")
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def compare(title: str, work: Callable[[], Cost], over: str, reference: Callable[[], Cost], read_bytes: float | None = None) -> None:
    """Print one line: the ratio of some work to its reference, the seconds of both, and the peak memory."""
    rounds = [(work(), reference()) for _ in range(ROUNDS)]
    ratio = median(one.took_s / other.took_s for one, other in rounds)
    ours, theirs = (median(pair[side].took_s for pair in rounds) for side in (0, 1))
    peak = max(one.peak_bytes for one, _ in rounds)
    memory = f"{peak / 2**20:8,.0f} MiB" + (f" = {peak / read_bytes:5.2f} x files" if read_bytes else "")
    print(f"{title:34} {ratio:8.2f} x {over:34} {ours:8.3f} s / {theirs:8.3f} s  {memory}", flush=True)


def store(folder: Path, name: str, write: Callable[[Path, int], None], count: int) -> tuple[str, float]:
    """A store's folder and the bytes of its files."""
    results = folder / f"{name}{count}"
    write(results, count)
    return str(results), float(sum(file.stat().st_size for file in results.rglob("*.jsonl")))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    part = 10 if parser.parse_args().quick else 1
    print(f"medians of {ROUNDS} rounds")
    with tempfile.TemporaryDirectory(prefix="attnbench-scale-") as temporary:
        folder = Path(temporary)
        records, cells, rows = 100_000 // part, 10_000 // part, 1_000_000 // part
        large, large_bytes = store(folder, "records", _stores.write_records, records)
        small, small_bytes = store(folder, "cells", _stores.write_cells, cells)

        def load(results: str) -> Callable[[], Cost]:
            return lambda: child(LOAD, results=results)

        def site(results: str) -> Callable[[], Cost]:
            return lambda: child(SITE, results=results, out=str(folder / "dist"))

        compare(f"load {records:,} records", load(large), "msgspec alone", lambda: child(DECODE, results=large), large_bytes)
        for what in ("time", "memory"):
            compare(
                f"rank {rows:,} rows by {what}",
                lambda what=what: child(TABLE + RANK, tools=str(TOOLS), rows=rows, what=what),
                "one pass of numpy over the samples",
                lambda: child(TABLE + PASS, tools=str(TOOLS), rows=rows),
            )
        compare(f"site of {cells:,} cells", site(small), "loading them", load(small), small_bytes)
        compare(f"site of {records:,} records", site(large), "loading them", load(large), large_bytes)
        listed = ["-m", "attnbench", "list", "variants"]
        compare("attnbench list", lambda: child(LIST, command=listed), "a bare interpreter", lambda: child(LIST, command=["-c", "pass"]))
    return 0


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
