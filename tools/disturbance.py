"""What a neighbour in the same rounds does to a time: one that fills the caches, against one that does nothing.

    make disturbance                                                   # on this machine's CPU, which must be quiet; about twenty minutes
    python tools/disturbance.py --seq-len 256 --mode forward --pairs 3      # shorter

A published ratio is a mechanism's seconds over those of softmax's own cells, where the neighbour is not: it changes as the mechanism's
seconds do. The other way round, a mechanism that fills the caches in each call must not slow the softmax beside it, nor the drift anchor
before and after, by which its seconds would be corrected: the rows "anchor" and "drift anchor", beside a softmax that writes and one that
does not. Exits with 1 when one changes by more than 2 %. The last column is how much the same calls change without the untimed calls before
each: what the rule is for.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

VARIANTS, MODES, LENGTHS = ("softmax", "polynomial"), ("forward", "training", "decode"), (256, 4096)
PAIRS = 9  # of a run beside the one neighbour and one beside the other, in an order that alternates
ALLOWED = 0.02
THRASHED_BYTES = 2**28  # more than any cache here


@dataclass(frozen=True)
class Row:
    """Changes of a mechanism's median seconds, a pair a number: 1.02 is 2 % more beside the thrashing neighbour. unsettled: see above."""

    what: str
    changes: tuple[float, ...]
    unsettled: tuple[float, ...] = ()

    @property
    def holds(self) -> bool:
        return abs(median(self.changes) - 1) <= ALLOWED

    def __str__(self) -> str:
        low, high = min(self.changes), max(self.changes)
        without = f"{median(self.unsettled):>10.3f}" if self.unsettled else f"{'-':>10}"
        verdict = "holds" if self.holds else "NOT MET"
        return f"{self.what:<32} {median(self.changes):>9.3f}  [{low:.3f}, {high:.3f}]  {verdict:<8} {without}"


HEADER = f"{'subject':<32} {'change':>9}  {'all pairs':<14}  {'':<8} {'unsettled':>10}"


def neighbours() -> dict[str, Callable[[int], object]]:
    """A call that does nearly nothing, and one that writes and allocates more than the caches hold."""
    import torch

    little, much = torch.zeros(1), torch.zeros(THRASHED_BYTES // 4)
    return {"idle": lambda _: little.add_(1), "thrashing": lambda _: much.add_(1).clone()}


def row(variant: str, mode: str, seq_len: int, pairs: int) -> Row:
    """The row of one mechanism, mode and length."""
    from attnbench.measurement.clock import Turn, take_turns, warm_up
    from attnbench.measurement.guard import Guard
    from attnbench.measurement.timed import VerifiedTrial
    from attnbench.measurement.tracks.kernel import trial_of
    from attnbench.spec.axes import Spec

    spec = Spec(track="kernel", variant=variant, mode=mode, seq_len=seq_len, causal=mode == "decode")
    subject, beside = VerifiedTrial(trial_of(spec, variant), Guard()), neighbours()
    warm_up(subject.call, "cpu")

    def change(turn: Turn, number: int) -> float:
        found = {}
        for name in sorted(beside, reverse=bool(number % 2)):
            neighbour = Turn(beside[name], settles=False)  # it need not settle: nobody asks for its time
            found[name] = median(take_turns({"subject": turn, "neighbour": neighbour}, "cpu")["subject"].wall_s)
        return found["thrashing"] / found["idle"]

    turn = subject.turn()
    changes = [change(turn, number) for number in range(pairs)]
    alone = dataclasses.replace(turn, settles=False)
    unsettled = [change(alone, number) for number in range(pairs)]
    subject.verify()
    return Row(f"{variant}, {mode}, {seq_len:,}", tuple(changes), tuple(unsettled))


def rows_of_anchors(mode: str, seq_len: int, pairs: int) -> list[Row]:
    """The rows of the anchor and of the drift anchor of a subject that is softmax, and writes in each call, or does not."""
    from attnbench.measurement.clock import Turn, take_turns, warm_up
    from attnbench.measurement.drift_anchor import drift_anchor, drift_samples
    from attnbench.measurement.guard import Guard
    from attnbench.measurement.timed import VerifiedTrial
    from attnbench.measurement.tracks.kernel import trial_of
    from attnbench.spec.axes import Spec

    spec = Spec(track="kernel", variant="softmax", mode=mode, seq_len=seq_len, causal=mode == "decode")
    subject, anchor = (VerifiedTrial(trial_of(spec, "softmax"), Guard()) for _ in range(2))
    drift, beside = drift_anchor("cpu"), neighbours()
    for call in (subject.call, anchor.call, drift):
        warm_up(call, "cpu")

    def with_(neighbour: Callable[[int], object]) -> Turn:
        def call(number: int) -> object:
            neighbour(number)
            return subject.trial.call(number)

        return dataclasses.replace(subject.turn(), call=call, inspect=lambda _: None)

    changes: dict[str, list[float]] = {"anchor": [], "drift anchor": []}
    for number in range(pairs):
        found: dict[str, dict[str, float]] = {}
        for name in sorted(beside, reverse=bool(number % 2)):
            drift_s = drift_samples(drift, "cpu")
            samples = take_turns({"subject": with_(beside[name]), "anchor": anchor.turn()}, "cpu")["anchor"].wall_s
            drift_s += drift_samples(drift, "cpu")
            found[name] = {"anchor": median(samples), "drift anchor": median(drift_s)}
        for what, ratios in changes.items():
            ratios.append(found["thrashing"][what] / found["idle"][what])
    anchor.verify()
    return [Row(f"{what}, {mode}, {seq_len:,}", tuple(ratios)) for what, ratios in changes.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--variant", action="append", help=f"may be repeated; {' and '.join(VARIANTS)} if not given")
    parser.add_argument("--mode", action="append", choices=MODES, help="may be repeated; all three if not given")
    parser.add_argument("--seq-len", type=int, action="append", help="may be repeated; 256 and 4,096 if not given")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"of runs beside either neighbour; {PAIRS} if not given")
    given = parser.parse_args()
    import torch

    from attnbench.measurement.allocator import keep_freed_memory
    from attnbench.runner.lock import measurement_lock
    from attnbench.store.environment import physical_cores

    keep_freed_memory()
    torch.set_num_threads(physical_cores())
    print(f"medians of {given.pairs} pairs; torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(HEADER, flush=True)
    missed = 0
    with measurement_lock():
        for mode in given.mode or MODES:
            for seq_len in given.seq_len or LENGTHS:
                of_variants = (row(variant, mode, seq_len, given.pairs) for variant in given.variant or VARIANTS)
                for found in itertools.chain(of_variants, rows_of_anchors(mode, seq_len, given.pairs)):
                    print(found, flush=True)
                    missed += not found.holds
    print(f"{missed} changed by more than {ALLOWED:.0%}" if missed else f"none changed by more than {ALLOWED:.0%}")
    return int(missed > 0)


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    sys.exit(main())
