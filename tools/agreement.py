"""Our clock against those of others: softmax attention timed by take_turns, by torch's Timer and, on CUDA, by Triton's do_bench.

    make agreement                                       # on this machine's CPU
    python tools/agreement.py --device cuda         # needs torch, triton, jaxtyping and psutil

All take turns in one process, for machines drift. Exits with 1 when ours is further than 5 % from another's, by the median of ten runs of
each. The last column is no comparison of clocks: the same call as a cell times it, on inputs that have just changed, in turn with another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

LENGTHS = (512, 1024, 2048, 4096)
TOKENS_ON_CUDA = 2**18  # in a batch, so that a call is long beside its launch, which others' clocks leave out
ROUNDS = 10
ALLOWED = 0.05
SPANS = 20  # that our clock of a GPU's kernels takes a round


@dataclass(frozen=True)
class Row:
    """Medians of one length, in seconds, ours and another's, a pair a round; in_cell_s: the same call timed as in a cell."""

    seq_len: int
    other: str
    ours_s: tuple[float, ...]
    theirs_s: tuple[float, ...]
    in_cell_s: float

    @property
    def ratio(self) -> float:
        """Ours over theirs: the median of the rounds' ratios."""
        return median(ours / theirs for ours, theirs in zip(self.ours_s, self.theirs_s, strict=True))

    @property
    def holds(self) -> bool:
        return abs(self.ratio - 1) <= ALLOWED

    def __str__(self) -> str:
        ours_ms, theirs_ms, in_cell_ms = (1e3 * seconds for seconds in (median(self.ours_s), median(self.theirs_s), self.in_cell_s))
        verdict = "holds" if self.holds else "NOT MET"
        return f"{self.seq_len:>7,}  {self.other:<24} {ours_ms:>9.3f} {theirs_ms:>9.3f} {self.ratio:>7.3f}  {verdict:<8} {in_cell_ms:>9.3f}"


HEADER = f"{'seq_len':>7}  {'against':<24} {'ours, ms':>9} {'theirs':>9} {'ratio':>7}  {'':<8} {'in a cell':>9}"


def compare(seq_len: int, device: str) -> list[Row]:
    """A row for each clock that there is on the device."""
    import torch

    from attnbench.measurement.clock import Turn, take_turns, wall_clock_s, warm_up
    from attnbench.measurement.device import named
    from attnbench.measurement.drift_anchor import drift_anchor
    from attnbench.measurement.guard import Guard
    from attnbench.measurement.timed import VerifiedTrial
    from attnbench.measurement.tracks.call import KernelTrial

    trial = KernelTrial(_spec(seq_len, device), "softmax")
    subject, drift = VerifiedTrial(trial, Guard()), drift_anchor(device)
    for call in (subject.call, drift):
        warm_up(call, device)

    clocks: dict[str, Callable[[], float]] = {
        "ours": lambda: median(wall_clock_s(trial.call, device)),
        "Timer.blocked_autorange": _timer(trial.call, torch.get_num_threads()),
    }
    kernels, flush = named(device).kernels, named(device).flusher()
    if kernels is not None:  # do_bench reads the device's clock, Timer the wall's
        from triton.testing import do_bench

        clocks["our kernels"] = lambda: median(kernels.span(lambda: trial.call(0), flush)[1] for _ in range(SPANS))
        clocks["do_bench"] = lambda: float(do_bench(lambda: trial.call(0), return_mode="median")) / 1e3
    found: dict[str, list[float]] = {name: [] for name in clocks}
    order = list(clocks)
    for _ in range(ROUNDS):
        for name in order:
            found[name].append(clocks[name]())
        order.reverse()
    in_cell_s = median(take_turns({"subject": subject.turn(), "drift": Turn(drift)}, device)["subject"].wall_s)
    pairs = [("ours", "Timer.blocked_autorange"), *([("our kernels", "do_bench")] if kernels is not None else [])]
    return [Row(seq_len, theirs, tuple(found[ours]), tuple(found[theirs]), in_cell_s) for ours, theirs in pairs]


def _spec(seq_len: int, device: str) -> Any:
    from attnbench.spec.axes import Spec

    shape = {"batch_size": TOKENS_ON_CUDA // seq_len, "num_heads": 16, "dtype": "bfloat16"} if device == "cuda" else {}
    return Spec(track="kernel", variant="softmax", seq_len=seq_len, mode="forward", device=device, **shape)


def _timer(call: Callable[[int], object], threads: int) -> Callable[[], float]:
    """The median of torch's Timer for a call, in seconds."""
    from torch.utils.benchmark import Timer

    timer = Timer("call(0)", globals={"call": call}, num_threads=threads)
    return lambda: float(timer.blocked_autorange(min_run_time=0.3).median)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seq-len", type=int, action="append", help="may be repeated; 512 to 4,096 if not given")
    given = parser.parse_args()
    import torch

    from attnbench.store.environment import physical_cores

    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here")
    torch.set_num_threads(physical_cores())
    where = torch.cuda.get_device_name() if given.device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"softmax, forward; medians of {ROUNDS} rounds; torch {torch.__version__}, {where}")
    print(HEADER, flush=True)
    missed = 0
    for seq_len in given.seq_len or LENGTHS:
        for row in compare(seq_len, given.device):
            print(row, flush=True)
            missed += not row.holds
    print(f"{missed} further than {ALLOWED:.0%} apart" if missed else f"all within {ALLOWED:.0%}")
    return int(missed > 0)


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
