"""What running cells side by side gives and costs: trainings an hour with two jobs against one, and what the engines take for themselves.

    python tools/engines.py jobs        # the task cells of quick, one after the other and two at a time: at least 1.5 times as many an hour
    python tools/engines.py overhead    # 200 cells of 2 s on two workers, local and Ray: under 10 % of wall time; eight minutes
    python tools/engines.py scale       # 10,000 cells that are not tried: the memory of the process that schedules them stays as it is

Every figure is a ratio within one run. Ends with 1 where one is not met, or where two jobs learn something else than one.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TIMES_AS_MANY = 1.5
MOST_OVERHEAD = 0.1
CELLS, SECONDS, WORKERS = 200, 2.0, 2
NO_OPS, FIRST, GROWTH_BYTES = 10_000, 1_000, 8 * 2**20
ENGINES = ("local", "ray")

# A task whose every part waits, so that a cell takes as long as it is told and no processor: what is left is the engine's.
SLEEPER = """
from __future__ import annotations

import time

import torch

from attnbench.workload import Parts, Size, Split, Task

SEQ_LEN = 4


def part(rows: int) -> Split:
    return Split(torch.arange(rows * SEQ_LEN).reshape(rows, SEQ_LEN) % 3, torch.arange(rows) % 2)


def load() -> Parts:
    time.sleep({seconds})
    return Parts(part(8), part(4), part(4))


SIZE = Size(num_layers=1, num_heads=1, head_dim=8, batch_size=8, epochs=1, lr=1e-3)
TASK = Task(
    kind="synthetic", citation="none", licence="none", load=load, metric="accuracy", target=0.9, num_classes=2, seq_len=SEQ_LEN,
    vocabulary=3, small=SIZE, large=SIZE,
)
"""


def attnbench(*arguments: str) -> float:
    """Run a command; gives the seconds that it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "attnbench", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-2000:]}")
    return time.monotonic() - began


def learnt(results: Path) -> dict[str, Any]:
    """What every cell of a folder measured, without times: by its id."""
    from attnbench.store.store import Store

    return {
        record.id: (record.status, record.measurements, {name: of for name, of in record.curve.items() if name != "wall_s"})
        for record in Store(results).read()
    }


def jobs(folder: Path) -> bool:
    """Trainings an hour with two jobs, over those with one."""
    attnbench("run", "--preset", "quick", "--track", "task", "--results", str(folder / "warm"))  # its reports of checks serve both
    rates = {}
    for number in (1, 2):
        results = folder / str(number)
        shutil.copytree(folder / "warm" / "checks", results / "checks")
        took_s = attnbench("run", "--preset", "quick", "--track", "task", "--results", str(results), "--jobs", str(number))
        rates[number] = 3600 * len(learnt(results)) / took_s
        print(f"--jobs {number}: {rates[number]:.0f} cells an hour", flush=True)
    same = learnt(folder / "1") == learnt(folder / "2")
    factor = rates[2] / rates[1]
    said = "the same bit for bit" if same else "NOT THE SAME"
    print(f"two jobs: {factor:.2f} times as many ({TIMES_AS_MANY:g} at least); what they learn is {said}")
    return same and factor >= TIMES_AS_MANY


def overhead(folder: Path) -> bool:
    """The share of wall time in which the workers run no cell, from the first command to the last record."""
    task = folder / "sleeper.py"
    task.write_text(SLEEPER.format(seconds=SECONDS))
    met = True
    for name in ENGINES:
        given = cells_of(task, CELLS)
        began, busy_s, statuses = time.monotonic(), 0.0, set()
        for record in records(name, given, folder / name):
            busy_s += record.duration_s
            statuses.add(record.status)
        took_s = time.monotonic() - began
        assert statuses == {"ok"}, statuses
        share = 1 - busy_s / WORKERS / took_s
        met = met and share < MOST_OVERHEAD
        each = f"{CELLS} cells of {busy_s / CELLS:.2f} s on {WORKERS} workers in {took_s:.0f} s"
        print(f"{name}: {each}: {share:.1%} of it for the engine ({MOST_OVERHEAD:.0%} at most)", flush=True)
    return met


def scale(folder: Path) -> bool:
    """By how much this process grows while it schedules cells that are refused, as those are whose variant fails its checks."""
    import psutil

    from attnbench.runner.cell import Refusal

    task = folder / "sleeper.py"
    task.write_text(SLEEPER.format(seconds=0))
    met = True
    for name in ENGINES:
        refusal = Refusal("skipped", "not tried: this is a test of the engine")
        given = [dataclasses.replace(cell, refused=refusal) for cell in cells_of(task, NO_OPS)]
        began, sizes = time.monotonic(), {}
        for number, _ in enumerate(records(name, given, folder / name), start=1):
            if number in (FIRST, NO_OPS):
                sizes[number] = psutil.Process().memory_info().rss
        took_s, growth = time.monotonic() - began, sizes[NO_OPS] - sizes[FIRST]
        met = met and growth <= GROWTH_BYTES
        grown = f"{growth / 2**20:.1f} MiB larger after {NO_OPS:,} cells than after {FIRST:,} ({GROWTH_BYTES / 2**20:.0f} at most)"
        print(f"{name}: {grown}, of {sizes[NO_OPS] / 2**20:.0f} MiB; {1000 * took_s / NO_OPS:.2f} ms a cell", flush=True)
    return met


def cells_of(task: Path, number: int) -> list[Any]:
    """Cells of a task from a file, which differ by their seed."""
    from attnbench.runner.cell import resolve
    from attnbench.spec.axes import Spec

    axes = {"block": "residual", "num_layers": 1, "num_heads": 1, "head_dim": 8, "batch_size": 8, "epochs": 1, "lr": 1e-3}
    first = resolve(Spec(track="task", task=task.stem, variant="softmax", **axes), tasks={task.stem: str(task)})
    return [dataclasses.replace(first, spec=dataclasses.replace(first.spec, seed=seed)) for seed in range(number)]


def records(name: str, cells: list[Any], results: Path) -> Iterator[Any]:
    """Run cells on an engine with two workers, and store what they give."""
    from attnbench.runner.engines import run_cells
    from attnbench.runner.engines.local import Local
    from attnbench.runner.engines.ray import Ray
    from attnbench.runner.gate import Gate
    from attnbench.runner.larger_sizes import RanOut
    from attnbench.runner.plan import Plan
    from attnbench.runner.schedule import Schedule
    from attnbench.runner.session import Session
    from attnbench.store.store import Store

    session, gate, store = Session(f"engines-{name}"), Gate(results), Store(results)
    engine: Any
    if name == "ray":
        engine = Ray("local", "cpu", lambda said: print(said, flush=True), jobs=WORKERS)
        engine.begin(session, results, cells)
    else:
        engine = Local(session, jobs=WORKERS)
    for record in run_cells(Schedule(Plan(cells, {}, lambda cell: False), gate, RanOut()), gate, engine):
        store.append(record)
        yield record


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=("jobs", "overhead", "scale"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attnbench-engines-") as folder:
        return int(not {"jobs": jobs, "overhead": overhead, "scale": scale}[given.what](Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
