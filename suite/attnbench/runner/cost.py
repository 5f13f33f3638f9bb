"""What a cell costs: by the costs of its mechanism at other sizes, by the clock's rule for its timing, or by rough numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from attnbench import registry
from attnbench.errors import BadInput
from attnbench.measurement.clock import SETTLE_S, WARM_ROUNDS, StoppingRule
from attnbench.spec.axes import Spec

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


@dataclass(frozen=True)
class Cost:
    """Seconds of one call of the mode, and of all of a cell but its timing; of a task cell all are `rest_s`."""

    call_s: float
    rest_s: float

    def times(self, call: float, rest: float) -> Cost:
        return Cost(self.call_s * call, self.rest_s * rest)


def timing_s(calls: Sequence[float]) -> float:
    """The seconds of all rounds of calls that take so long, with those by which each settles where it has a neighbour."""
    settling_s = sum(max(call_s, SETTLE_S) for call_s in calls) if len(calls) > 1 else 0.0
    return (WARM_ROUNDS + _rounds(sum(calls))) * (sum(calls) + settling_s)


def _rounds(round_s: float) -> int:
    """The rounds that are timed where one takes so long."""
    rule, rounds = StoppingRule(), 1
    while not rule.is_over(rounds, rounds * round_s):
        rounds += 1
    return rounds


def cost_at(sizes: Mapping[int, tuple[Spec, Cost]], spec: Spec) -> Cost:
    """The cost at a spec's size, on the line in logarithms through the two nearest sizes; of one alone, as its mechanism claims to grow."""
    size = size_of(spec)
    if size in sizes:
        return sizes[size][1]
    known = sorted(sizes)
    if len(known) == 1:
        growth = (size / known[0]) ** (_claimed(spec) if spec.track == "kernel" else 1.0)
        return sizes[known[0]][1].times(growth, max(1.0, growth) if spec.is_timed else growth)
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


def has_form(spec: Spec) -> bool:
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


def rough_cost(spec: Spec) -> Cost:
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


def size_of(spec: Spec) -> int:
    size: int = getattr(spec, SIZE[spec.track])
    return size
