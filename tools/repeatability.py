"""Is softmax as fast as softmax? Two lots of its cells in one session, one put in the place of a mechanism, pooled as published.

    make repeatability                                                  # on this machine's CPU, which must be quiet; about ten minutes
    python tools/repeatability.py --processes 1 --mode forward --seq-len 256      # shorter

Each cell is a process of its own, run as `attnbench run` runs it; the lots alternate over the session (A B B A A B), so that a drift meets
both. A value is the median over a lot's processes of their medians over samples, each divided by how slow the machine was: by the median
of the drift anchors of the cells beside it. The ratio of two values is to be 1, within 1 % where a call takes 5 ms and within 3 % below.

Exits with 1 when fewer than 95 % of the cells of a mode hold that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

MODES, LENGTHS = ("forward", "training", "prefill", "decode"), (256, 1024, 4096)
PROCESSES = 3  # of each lot
LONG_S, ALLOWED_LONG, ALLOWED_SHORT = 0.005, 0.01, 0.03
HOLDING = 0.95  # share of a mode's cells

Cell = tuple[str, int]  # mode and length


@dataclass(frozen=True)
class Block:
    """Every cell measured once, close in time: the median seconds of each, and the median of the drift anchors beside them."""

    seconds: Mapping[Cell, float]
    drift_s: float


@dataclass(frozen=True)
class Row:
    """A cell: its median seconds, and the ratio of the two lots with drift corrected, and as it was."""

    cell: Cell
    seconds: float
    ratio: float
    as_measured: float

    @property
    def allowed(self) -> float:
        return ALLOWED_LONG if self.seconds >= LONG_S else ALLOWED_SHORT

    @property
    def holds(self) -> bool:
        return abs(self.ratio - 1) <= self.allowed

    def __str__(self) -> str:
        mode, seq_len = self.cell
        verdict = "holds" if self.holds else "NOT MET"
        return f"{mode:<9} {seq_len:>7,} {self.ratio:>9.4f} {self.as_measured:>12.4f} {self.allowed:>9.0%}  {verdict}"


HEADER = f"{'mode':<9} {'seq_len':>7} {'ratio':>9} {'as measured':>12} {'allowed':>9}"


def lots(blocks: Sequence[Block]) -> tuple[list[Block], list[Block]]:
    """The blocks in two lots that alternate: A B B A A B."""
    by_lot: tuple[list[Block], list[Block]] = ([], [])
    for number, block in enumerate(blocks):
        by_lot[number % 4 in (1, 2)].append(block)
    return by_lot


def rows(blocks: Sequence[Block]) -> Iterator[Row]:
    """A row for each cell that every block has."""
    usual = median(block.drift_s for block in blocks)
    one, other = lots(blocks)

    def pooled(lot: Sequence[Block], cell: Cell, corrected: bool) -> float:
        return median(block.seconds[cell] / (block.drift_s / usual if corrected else 1.0) for block in lot)

    for cell in blocks[0].seconds:
        if all(cell in block.seconds for block in blocks):
            ratios = [pooled(one, cell, corrected) / pooled(other, cell, corrected) for corrected in (True, False)]
            yield Row(cell, median(block.seconds[cell] for block in blocks), *ratios)


def verdict(found: Sequence[Row]) -> bool:
    """Print the share of each mode's cells that hold; whether it is enough in all."""
    enough = []
    for mode in dict.fromkeys(row.cell[0] for row in found):
        of_mode = [row.holds for row in found if row.cell[0] == mode]
        enough.append(sum(of_mode) >= HOLDING * len(of_mode))
        print(f"{mode}: {sum(of_mode)} of {len(of_mode)} cells hold (at least {HOLDING:.0%}): {'holds' if enough[-1] else 'NOT MET'}")
    return all(enough)


def measure(cells: Sequence[Cell], seed: int, session: Any) -> Block:
    """A process for each cell."""
    from attnbench.runner.cell import resolve
    from attnbench.runner.session import run
    from attnbench.spec.axes import Spec

    seconds, drift = {}, []
    for mode, seq_len in cells:
        causal = mode in ("prefill", "decode")
        record = run(resolve(Spec(track="kernel", variant="softmax", mode=mode, seq_len=seq_len, causal=causal, seed=seed)), session)
        if record.status != "ok":
            print(f"{mode}, {seq_len:,} is {record.status}: {record.reason}", flush=True)
            continue
        seconds[mode, seq_len] = median(record.measurements[f"{mode}_s"])
        drift.append(median(record.measurements["drift_anchor_s"]))
    return Block(seconds, median(drift) if drift else 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--processes", type=int, default=PROCESSES, help=f"of each lot; {PROCESSES} if not given")
    parser.add_argument("--mode", action="append", choices=MODES, help="may be repeated; all four if not given")
    parser.add_argument("--seq-len", type=int, action="append", help="may be repeated; 256, 1,024 and 4,096 if not given")
    given = parser.parse_args()
    from attnbench.runner.session import Session

    cells = [(mode, seq_len) for seq_len in given.seq_len or LENGTHS for mode in given.mode or MODES]
    session = Session("repeatability", busy_allowed=True)
    blocks = []
    for seed in range(2 * given.processes):
        print(f"process {seed + 1} of {2 * given.processes}, {len(cells)} cells ...", flush=True)
        blocks.append(measure(cells, seed, session))
    found = list(rows(blocks))
    print(HEADER)
    for row in found:
        print(row)
    return int(not found or not verdict(found))


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
