"""How near the time is that `attnbench run --dry-run` tells: a sample of a preset's cells is run, and what it takes is compared.

    make estimates                                         # twenty cells of the reference preset
    python tools/estimates.py --preset claims --cells 10

The sample is spread over tasks and arms, trials and steps, and is the same for everybody who has the same cells to run. Its records are
kept in results: they are cells of the preset. A run whose rate is not chosen yet is not among them; it trains as long as a trial of as many
epochs. Ends with 1 where the estimate is further off than a fifth.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FARTHEST = 0.2
CELLS = 20


def spread(cells: Sequence[object], number: int) -> list[object]:
    """So many of some cells, at equal distances in their order.

    >>> spread("abcdefghij", 3)
    ['b', 'e', 'i']
    """
    number = min(number, len(cells))
    return [cells[int((place + 0.5) * len(cells) / number)] for place in range(number)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--preset", default="reference")
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--timeout", type=float, default=7200.0, help="seconds a cell may take")
    parser.add_argument("--dry-run", action="store_true", help="say which cells, and run nothing")
    args = parser.parse_args()

    from rich.console import Console

    from attnbench.analysis.labels import cell_text
    from attnbench.cli.run import sweep
    from attnbench.runner.engines.local import default_jobs
    from attnbench.runner.estimate import Estimate, duration_text
    from attnbench.runner.here import this_machine
    from attnbench.runner.plan import Choice, choose
    from attnbench.spec import tuning
    from attnbench.store.store import Store

    machine = this_machine("cpu")
    finished = Store(args.results).finished(machine.name, "", machine.measured, machine.can_use) if args.results.is_dir() else {}
    trained = [cell for cell in choose(Choice(preset=args.preset), machine) if cell.spec.task is not None and cell.key not in finished]
    known = [cell for cell in trained if not tuning.is_open(cell.spec)]
    order = sorted(known, key=lambda cell: (cell.spec.task_label(), cell.spec.causal, cell.spec.variant, repr(cell.spec.params), cell.key))
    sample = spread(order, args.cells)
    estimate, jobs = Estimate(finished.values(), args.timeout, machine.name), default_jobs(machine)
    expected_s = sum(estimate.seconds(cell.spec) / (1 if cell.is_timed else jobs) for cell in sample)
    console = Console()
    for cell in sample:
        console.print(f"{estimate.seconds(cell.spec):6.1f} s  {cell_text(cell.spec)}", highlight=False)
    console.print(
        f"{len(sample)} of {len(known)} cells to run, trainings {jobs} at once: about {expected_s:.0f} s, by {estimate.records:,} records"
    )
    if args.dry_run or not sample:
        return 0
    began = time.monotonic()
    code = sweep(Choice(preset=args.preset, specs=tuple(cell.spec for cell in sample)), args.results, args.timeout, False, False, console)
    took_s = time.monotonic() - began
    off = took_s / expected_s - 1
    console.print(f"expected {duration_text(expected_s)} ({expected_s:.0f} s), took {took_s:.0f} s: {off:+.1%} (at most {FARTHEST:.0%})")
    return code or int(abs(off) > FARTHEST)


if __name__ == "__main__":
    sys.exit(main())
