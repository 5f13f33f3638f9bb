"""Estimates how long cells take: from records of this machine, from those of others at its speed, or from what softmax would need."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from statistics import median
from typing import Any

from attnbench.measurement.clock import ANCHOR_PATIENCE_S
from attnbench.runner.cost import SIZE, SKIPPED_S, Cost, cost_at, has_form, rough_cost, size_of, timing_s
from attnbench.runner.jobs import Limits
from attnbench.spec.axes import Spec
from attnbench.spec.axis_values import OF_TRAINING
from attnbench.store.facts import TIMING
from attnbench.store.record import Record

OTHERS_LOAD = 0.5  # processors that other programs may use, by the average of the minute before, on a machine that is quiet

Key = tuple[str, str]  # a mechanism, and all axes but it, its size and its seed
Costs = dict[Key, dict[int, tuple[Spec, Cost]]]  # and the costs that are known, by size


class Estimate:
    """Seconds that cells take.

    records: of this machine, and those of training runs on others; those of cells that ended well count. limit_s: after which a cell is
    stopped, whatever records let expect. machine: the name of this one; without it all records are its own. What another machine's cells
    took is scaled by what the cells take here that both have run. Of trainings of one kind, of other seeds and rates, the median counts of
    those that began on a quiet machine: beside other programs one takes five times as long. Without such the shortest counts.
    """

    def __init__(self, records: Iterable[Record] = (), limit_s: float = Limits.timeout_s, machine: str | None = None) -> None:
        self.records = 0
        self._limit_s = limit_s
        self._whole: dict[str, float] = {}
        self._trainings: dict[tuple[str, Key, int], list[tuple[bool, float]]] = defaultdict(list)
        known: dict[str, Costs] = defaultdict(lambda: defaultdict(dict))
        for record in sorted(records, key=lambda record: record.started_at):
            if record.status == "ok" and record.stages_s:
                whose = record.machine if machine is not None else ""
                self._add(record, whose, known[whose], is_own=machine in (None, record.machine))
        self._known = _joined(known.pop(machine or "", {}), known.values())

    def seconds(self, spec: Spec) -> float:
        """The seconds of a cell: as it took before, or by the nearest cells of the same mechanism, or of all, or by rough numbers."""
        try:
            return min(self._limit_s, self._seconds(spec))  # the limit, too, where what lies between records is no number
        except OverflowError:
            return self._limit_s

    def _seconds(self, spec: Spec) -> float:
        if spec.key() in self._whole:
            return self._whole[spec.key()]
        if not has_form(spec):
            return SKIPPED_S
        cost = self._cost(spec)
        if not spec.is_timed:
            return cost.rest_s
        anchor_s = self._cost(replace(spec, variant="softmax", params={})).call_s
        calls = (cost.call_s, anchor_s) if anchor_s <= ANCHOR_PATIENCE_S else (cost.call_s,)
        return cost.rest_s + timing_s(calls)

    def _add(self, record: Record, whose: str, known: Costs, is_own: bool) -> None:
        spec = record.spec
        total = sum(record.stages_s.values())
        samples = record.measurements.get(f"{spec.mode}_s", []) if spec.is_timed else [0.0]
        if not samples:
            return
        self.records += 1
        is_quiet = _began_quietly(record)
        is_whole = record.environment.get("timing") == TIMING if spec.is_timed else is_quiet  # before that rule, cells had fewer calls
        if is_own and is_whole:
            self._whole[spec.key()] = total
        key, size = _key(spec), size_of(spec)
        rest = total - record.stages_s.get("time", 0.0)
        if spec.track == "task":
            alike = self._trainings[whose, key, size]
            alike.append((is_quiet, total))
            rest = median([took for quiet, took in alike if quiet] or [min(took for _, took in alike)])
        known[key][size] = spec, Cost(median(samples), rest)

    def _cost(self, spec: Spec) -> Cost:
        own = self._known.get(_key(spec))
        if own:
            return cost_at(own, spec)
        if (cost := self._by_steps(spec)) is not None:
            return cost
        mechanism, kind = _key(spec)
        if others := [sizes for (name, _), sizes in self._known.items() if name == mechanism and _is_like(sizes, spec)]:
            nearest = min(others, key=lambda sizes: _distance(next(iter(sizes.values()))[0], spec))
            grown: dict[str, Any] = {SIZE[spec.track]: size_of(spec)}
            like = replace(next(iter(nearest.values()))[0], **grown)
            ratio = (
                rough_cost(spec).call_s / rough_cost(like).call_s if spec.is_timed else rough_cost(spec).rest_s / rough_cost(like).rest_s
            )
            return cost_at(nearest, like).times(ratio, ratio)
        if all_ := [cost_at(sizes, spec) for (_, of), sizes in self._known.items() if of == kind]:
            return Cost(median(cost.call_s for cost in all_), median(cost.rest_s for cost in all_))
        return rough_cost(spec)

    def _by_steps(self, spec: Spec) -> Cost | None:
        """The cost of a training run by that of softmax, and what a step of either takes; None where one of these is not known."""
        softmax = replace(spec, variant="softmax", params={})
        runs = self._known.get(_key(softmax))
        steps = [self._known.get(_key(_step_of(one))) for one in (spec, softmax)] if spec.track == "task" else []
        if not runs or not steps or not all(steps):
            return None
        own, beside = (cost_at(of, spec).call_s for of in steps if of)
        return cost_at(runs, spec).times(own / beside, own / beside)


def _began_quietly(record: Record) -> bool:
    """Whether no other programs than those of its own command kept the machine busy when a cell began; true where that is not known."""
    load, jobs = (record.environment.get(fact) for fact in ("load_average", "jobs"))
    return not isinstance(load, (int, float)) or load <= (jobs if isinstance(jobs, int) else 1) + OTHERS_LOAD


def _joined(own: Costs, others: Iterable[Costs]) -> Costs:
    """What is known here; and what is known of others alone, at this machine's speed; of two others, of that which began last."""
    joined: Costs = defaultdict(dict, {key: dict(sizes) for key, sizes in own.items()})
    for theirs in reversed(list(others)):
        slower = _times_slower(own, theirs)
        for key, sizes in theirs.items():
            for size, (spec, cost) in sizes.items():
                joined[key].setdefault(size, (spec, cost.times(slower, slower)))
    return joined


def _times_slower(own: Costs, theirs: Costs) -> float:
    """How many times as long cells take here, by those of which both know the cost; 1 where there are none."""
    common = [(own[key], spec, cost) for key in own.keys() & theirs.keys() for spec, cost in theirs[key].values()]
    return median([cost_at(sizes, spec).rest_s / cost.rest_s for sizes, spec, cost in common if cost.rest_s > 0] or [1.0])


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
