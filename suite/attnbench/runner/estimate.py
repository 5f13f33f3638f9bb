"""Estimates how long cells take, from the records of this machine; without any, from what softmax would need on two cores."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from statistics import median
from typing import Any

from attnbench import registry
from attnbench.errors import BadInput
from attnbench.measurement.clock import ANCHOR_PATIENCE_S, SETTLE_S, WARM_ROUNDS, StoppingRule
from attnbench.runner.jobs import Limits
from attnbench.spec.axes import Spec
from attnbench.spec.axis_values import OF_TRAINING
from attnbench.store.facts import TIMING
from attnbench.store.record import Record

# The axis along which a cell's seconds are scaled.
SIZE = {"kernel": "seq_len", "depth": "num_layers", "task": "epochs", "step": "num_layers"}
# Rough numbers for what no record tells: a call of softmax at 5e10 FLOP/s; a step of a layer, an epoch of one, and a training
# step in such steps; and the rest of a cell.
FLOP_S, FEWEST_S = 5e10, 5e-5
LAYER_S, LAYER_EPOCH_S, STEP_LAYERS = 2e-3, 0.55, 5.0
REST_S = {"kernel": 0.5, "depth": 1.0, "task": 4.0, "step": 3.0}
SKIPPED_S = 0.2
REST_CALLS = 8  # of warming up, counting and verifying
PASSES = {"forward": 1.0, "training": 3.5, "prefill": 1.0}  # a call of the mode, in forward passes

Key = tuple[str, str]  # a mechanism, and all axes but it, its size and its seed


@dataclass(frozen=True)
class Cost:
    """Seconds of one call of the mode, and of all of a cell but its timing; of a task cell all are `rest_s`."""

    call_s: float
    rest_s: float

    def times(self, call: float, rest: float) -> Cost:
        return Cost(self.call_s * call, self.rest_s * rest)


class Estimate:
    """Seconds that cells take.

    records: of this machine; those of cells that ended well count. limit_s: after which a cell is stopped, whatever records let expect.
    """

    def __init__(self, records: Iterable[Record] = (), limit_s: float = Limits.timeout_s) -> None:
        self.records = 0
        self._limit_s = limit_s
        self._whole: dict[str, float] = {}
        self._known: dict[Key, dict[int, tuple[Spec, Cost]]] = defaultdict(dict)
        for record in sorted(records, key=lambda record: record.started_at):
            if record.status == "ok" and record.stages_s:
                self._add(record)

    def seconds(self, spec: Spec) -> float:
        """The seconds of a cell: as it took before, or by the nearest cells of the same mechanism, or of all, or by rough numbers."""
        try:
            return min(self._limit_s, self._seconds(spec))  # the limit, too, where what lies between records is no number
        except OverflowError:
            return self._limit_s

    def _seconds(self, spec: Spec) -> float:
        if spec.key() in self._whole:
            return self._whole[spec.key()]
        if not _has_form(spec):
            return SKIPPED_S
        cost = self._cost(spec)
        if not spec.is_timed:
            return cost.rest_s
        anchor_s = self._cost(replace(spec, variant="softmax", params={})).call_s
        calls = (cost.call_s, anchor_s) if anchor_s <= ANCHOR_PATIENCE_S else (cost.call_s,)
        return cost.rest_s + _timing_s(calls)

    def _add(self, record: Record) -> None:
        spec = record.spec
        total = sum(record.stages_s.values())
        samples = record.measurements.get(f"{spec.mode}_s", []) if spec.is_timed else [0.0]
        if not samples:
            return
        self.records += 1
        if not spec.is_timed or record.environment.get("timing") == TIMING:  # before that rule, cells had fewer calls
            self._whole[spec.key()] = total
        rest = total - record.stages_s.get("time", 0.0) if spec.is_timed else total
        self._known[_key(spec)][_size(spec)] = spec, Cost(median(samples), rest)

    def _cost(self, spec: Spec) -> Cost:
        own = self._known.get(_key(spec))
        if own:
            return _at(own, spec)
        if (cost := self._by_steps(spec)) is not None:
            return cost
        mechanism, kind = _key(spec)
        if others := [sizes for (name, _), sizes in self._known.items() if name == mechanism and _is_like(sizes, spec)]:
            nearest = min(others, key=lambda sizes: _distance(next(iter(sizes.values()))[0], spec))
            grown: dict[str, Any] = {SIZE[spec.track]: _size(spec)}
            like = replace(next(iter(nearest.values()))[0], **grown)
            ratio = _rough(spec).call_s / _rough(like).call_s if spec.is_timed else _rough(spec).rest_s / _rough(like).rest_s
            return _at(nearest, like).times(ratio, ratio)
        if all_ := [_at(sizes, spec) for (_, of), sizes in self._known.items() if of == kind]:
            return Cost(median(cost.call_s for cost in all_), median(cost.rest_s for cost in all_))
        return _rough(spec)

    def _by_steps(self, spec: Spec) -> Cost | None:
        """The cost of a training run by that of softmax, and what a step of either takes; None where one of these is not known."""
        softmax = replace(spec, variant="softmax", params={})
        runs = self._known.get(_key(softmax))
        steps = [self._known.get(_key(_step_of(one))) for one in (spec, softmax)] if spec.track == "task" else []
        if not runs or not steps or not all(steps):
            return None
        own, beside = (_at(of, spec).call_s for of in steps if of)
        return _at(runs, spec).times(own / beside, own / beside)


def _step_of(spec: Spec) -> Spec:
    """The step cell of a training run's model."""
    defaults: dict[str, Any] = {f.name: f.default for f in fields(Spec) if f.name in OF_TRAINING}
    return replace(spec, **{**defaults, "track": "step", "seed": 0})


def time_left(spent_s: float, done_s: float, left_s: float) -> float:
    """The seconds left, by how long the cells took that are done, once they are a twentieth of all.

    spent_s: what those took; done_s, left_s: what those and the others were estimated to take.

    >>> time_left(60.0, 100.0, 900.0), time_left(6.0, 10.0, 990.0)
    (540.0, 990.0)
    """
    return left_s * spent_s / done_s if done_s > 0 and done_s >= 0.05 * (done_s + left_s) else left_s


def duration_text(seconds: float) -> str:
    """Seconds in words.

    >>> duration_text(47), duration_text(700), duration_text(5640)
    ('47 s', '12 min', '1 h 34 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _timing_s(calls: Sequence[float]) -> float:
    """The seconds of all rounds of calls that take so long, with those by which each settles where it has a neighbour."""
    settling_s = sum(max(call_s, SETTLE_S) for call_s in calls) if len(calls) > 1 else 0.0
    return (WARM_ROUNDS + _rounds(sum(calls))) * (sum(calls) + settling_s)


def _rounds(round_s: float) -> int:
    """The rounds that are timed where one takes so long."""
    rule, rounds = StoppingRule(), 1
    while not rule.is_over(rounds, rounds * round_s):
        rounds += 1
    return rounds


def _at(sizes: Mapping[int, tuple[Spec, Cost]], spec: Spec) -> Cost:
    """The cost at a spec's size, on the line in logarithms through the two nearest sizes; of one alone, as its mechanism claims to grow."""
    size = _size(spec)
    if size in sizes:
        return sizes[size][1]
    known = sorted(sizes)
    if len(known) == 1:
        growth = (size / known[0]) ** (_claimed(spec) if spec.track == "kernel" else 1.0)
        return sizes[known[0]][1].times(growth, max(1.0, growth))
    low, high = min(pairwise(known), key=lambda pair: abs(math.log(pair[0] / size)) + abs(math.log(pair[1] / size)))
    way = math.log(size / low) / math.log(high / low)
    one, other = sizes[low][1], sizes[high][1]
    return Cost(_between(one.call_s, other.call_s, way), _between(one.rest_s, other.rest_s, way))


def _between(low: float, high: float, way: float) -> float:
    if low <= 0 or high <= 0:
        return max(low, high)
    return math.exp(math.log(low) + way * (math.log(high) - math.log(low)))


def _claimed(spec: Spec) -> float:
    """The exponent of time that a mechanism declares; 2 where that is not known."""
    return 0.0 if spec.mode == "decode" else float(_declared(spec, "time_exponent", 2.0, unknown=2.0))


def _has_form(spec: Spec) -> bool:
    """Whether a mechanism has the form, causal or not, grouped or not, that a cell asks for; true where that is not known beforehand."""
    causal, grouped = _declared(spec, "causal", True, unknown=True), _declared(spec, "grouped", False, unknown=True)
    return (grouped or spec.num_kv_heads is None) and (causal is not False if spec.causal else causal != "only")


def _declared(spec: Spec, name: str, default: Any, unknown: Any) -> Any:
    """A field that a mechanism declares; `unknown` where it is not registered here, or a plug-in that cannot be imported.

    default: what a declaration says that leaves the field out.
    """
    if spec.variant not in registry.names("variants"):
        return unknown
    try:
        return registry.field("variants", spec.variant, name, default=default)
    except BadInput:
        return unknown


def _rough(spec: Spec) -> Cost:
    """What no record tells: the cost of softmax, about, with its FLOPs alone."""
    layers = spec.num_layers or 1
    if spec.track == "task":
        return Cost(0.0, REST_S["task"] + LAYER_EPOCH_S * layers * (spec.epochs or 0))
    if spec.track in ("depth", "step"):
        call_s = LAYER_S * layers * (STEP_LAYERS if spec.track == "step" else 1)
    else:
        tokens = spec.seq_len or 1
        pairs = tokens if spec.mode == "decode" else tokens**2
        call_s = max(FEWEST_S, 4.0 * spec.batch_size * spec.d_model * pairs / FLOP_S) * PASSES.get(spec.mode, 1.0)
    return Cost(call_s, REST_S[spec.track] + REST_CALLS * call_s)


def _size(spec: Spec) -> int:
    size: int = getattr(spec, SIZE[spec.track])
    return size


def _key(spec: Spec) -> Key:
    return json.dumps([spec.track, spec.variant, dict(spec.params)], sort_keys=True), json.dumps(dict(_kind(spec)), sort_keys=True)


def _kind(spec: Spec) -> Iterator[tuple[str, Any]]:
    """The axes that two cells of one mechanism may differ in, and cost otherwise for it, beside their size."""
    chosen = ("lr", "lr_grid", "tuned_epochs", "init_norm", "weight_decay", "protocol", "evaluate")
    leave_out = {"variant", "params", "seed", "data", SIZE[spec.track], *chosen}
    return ((name, value) for name, value in spec.axes().items() if name not in leave_out)


def _is_like(sizes: Mapping[int, tuple[Spec, Cost]], spec: Spec) -> bool:
    """Whether the costs of cells tell something of another: those of decoding do not of a whole pass."""
    one = next(iter(sizes.values()))[0]
    alike = (one.track, one.device, one.task) == (spec.track, spec.device, spec.task)
    return alike and (one.mode == "decode") == (spec.mode == "decode")


def _distance(one: Spec, other: Spec) -> int:
    """In how many axes two cells of a mechanism differ."""
    return sum(a != b for a, b in zip(_kind(one), _kind(other), strict=True))
