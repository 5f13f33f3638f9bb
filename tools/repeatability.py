"""Do two sessions on one machine say the same? Ratios to the anchor of every kernel cell, each with its 99 % interval.

    make repeatability                          # runs the quick kernel cells twice
    python tools/repeatability.py A B      # compares two results folders that are there already

Exits with 1 when fewer than 95 % of the cells have intervals that overlap, or when the median relative half-width of an interval is above
10 %.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

METRIC = "anchor_ratio"
OVERLAPPING, HALF_WIDTH = 0.95, 0.10  # floors: a share of cells at least, a share of the median at most


@dataclass(frozen=True)
class Pair:
    """A cell in two sessions: its intervals (stats.Interval) and how many samples each has."""

    label: str
    intervals: tuple[Any, Any]
    counts: tuple[int, int]

    @property
    def overlap(self) -> bool:
        one, other = self.intervals
        return bool(one.low <= other.high and other.low <= one.high)

    @property
    def half_widths(self) -> list[float]:
        """Of both intervals, as shares of their medians."""
        return [(one.high - one.low) / 2 / one.value for one in self.intervals]

    def __str__(self) -> str:
        shown = [f"{i.value:7.3f} [{i.low:7.3f}, {i.high:7.3f}] n={n:<3}" for i, n in zip(self.intervals, self.counts, strict=True)]
        return f"{self.label:<52} {'   '.join(shown)}"


def pairs(one: Path, other: Path) -> list[Pair]:
    """The cells that both folders hold with samples of the ratio, the newest record of each.

    Raises BadInput when a folder is not there, or there is no such cell.
    """
    from attnbench.analysis.drift import Drifts
    from attnbench.errors import BadInput
    from attnbench.stats import median_interval
    from attnbench.store.newest import newest
    from attnbench.store.store import Store

    sessions = []
    for folder in (one, other):
        records = [record for record in Store(folder).read() if METRIC in record.measurements]
        for why in Drifts(records).flags().values():
            print(f"{folder} will not rank, and need not repeat: {why}")
        sessions.append({(r.machine, r.id): r for r in newest(records, cell=lambda record: (record.machine, record.id))})
    found = []
    for key in sessions[0]:
        if key in sessions[1]:
            samples = [session[key].measurements[METRIC] for session in sessions]
            intervals, counts = [median_interval(values) for values in samples], [len(values) for values in samples]
            found.append(Pair(sessions[0][key].spec.label(), (intervals[0], intervals[1]), (counts[0], counts[1])))
    if not found:
        raise BadInput(f"no cell of {one} is in {other} too with samples of {METRIC}; give two runs of the same machine")
    return found


def verdict(found: Sequence[Pair]) -> bool:
    """Print how far two sessions agree; whether both floors hold."""
    apart = [pair for pair in found if not pair.overlap]
    share = 1 - len(apart) / len(found)
    width = median(width for pair in found for width in pair.half_widths)
    for title, pairs_shown in (("do not overlap", apart), ("widest", sorted(found, key=lambda pair: -max(pair.half_widths))[:5])):
        print(f"{title}:" if pairs_shown else f"{title}: none")
        for pair in pairs_shown:
            print(f"  {pair}")
    holds = (share >= OVERLAPPING, width <= HALF_WIDTH)
    said = ["holds" if one else "NOT MET" for one in holds]
    print(f"{share:.1%} of {len(found)} cells have 99 % intervals that overlap (at least {OVERLAPPING:.0%}): {said[0]}")
    print(f"the median relative half-width is {width:.1%} (at most {HALF_WIDTH:.0%}): {said[1]}")
    return all(holds)


def measure(results: Path) -> None:
    """A session of the quick kernel cells, in a process of its own."""
    command = [sys.executable, "-m", "attnbench", "run", "--track", "kernel", "--rerun", "--results", str(results)]
    print(f"measuring into {results} ...", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = [line for line in done.stdout.splitlines() if "went into measuring" in line]
    print(*said, *done.stderr.splitlines(), sep="\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="RESULTS", help="two results folders; without them both are measured now")
    folders = parser.parse_args().folders
    if len(folders) not in (0, 2):
        parser.error(f"there are {len(folders)} folders; give two, or none to measure both now")
    if not folders:
        kept = Path(tempfile.mkdtemp(prefix="attnbench-repeatability-"))
        folders = [kept / "one", kept / "other"]
        for folder in folders:
            measure(folder)
    from attnbench.errors import BadInput

    try:
        return int(not verdict(pairs(*folders)))
    except BadInput as error:
        parser.error(str(error))


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
