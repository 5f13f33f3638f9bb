"""The axes of the pages are those of a setting: none is missing, and none tells apart what a setting does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from attnbench.analysis.frame import frame
from attnbench.analysis.settings import SETTING, as_texts, comparable, setting_of, without
from attnbench.spec.plain import Param
from attnbench.store.facts import ALONE, TIMING
from attnbench.store.record import Record
from attnbench.website.groups import CHOSEN, PAGE_AXES, axes, chunk_name, page_axis
from attnbench.website.results import Results
from attnbench.website.view import ORDER
from helpers import site_records, site_settled
from helpers.records import make_record, make_spec
from helpers.site_sources import SOURCES

STACK = {"block": "residual", "num_layers": 2}
TASK = {**STACK, "seq_len": None, "mode": "training", "task": "mnist", "data": "embedded:1", "epochs": 1, "lr": 0.1}
STEP = {name: value for name, value in TASK.items() if name not in ("epochs", "lr")}
FIRST = {"kernel": {}, "depth": STACK, "task": TASK, "step": STEP}
# Another value on every axis of a setting.
OTHER = {
    "device": "cuda", "dtype": "bfloat16", "causal": True, "batch_size": 2, "num_heads": 2, "head_dim": 32, "mode": "training",
    "seq_len": 64, "block": "skipless", "num_layers": 3, "task": "digits", "data": "embedded:2", "epochs": 2, "padded": 0.25,
    "num_kv_heads": 1, "token_shift": True, "init_norm": 0.5, "positions": "rotary", "task_params": {"pairs": 2}, "protocol": "2026-12",
    "weight_decay": 0.0, "test_seq_len": 98,
}  # fmt: skip
ELSEWHERE = {"torch": "1.0", "threads": 7, "gpu": "another GPU", "timing": "settled"}  # axes that are in the environment
EVERY = [(track, axis) for track, setting in SETTING.items() for axis in setting]
FIXED = [("depth", "dtype"), ("depth", "causal"), ("step", "mode")]  # a cell of another value is refused


def changed(track: str, axis: str) -> tuple[Record, Record]:
    """A record of a track, and one that differs from it on one axis of its setting."""
    spec = make_spec(track=track, **FIRST[track], **({"positions": "none"} if axis == "test_seq_len" else {}))
    record = make_record(spec)
    if axis == "machine":
        return record, dataclasses.replace(record, machine="other")
    if axis in ELSEWHERE:
        record = dataclasses.replace(record, spec=dataclasses.replace(spec, device="cuda"))
        return record, dataclasses.replace(record, environment={**record.environment, axis: ELSEWHERE[axis]})
    return record, make_record(dataclasses.replace(spec, **{"lr": 0.2} if axis == "rate" else {axis: OTHER[axis]}))


@pytest.mark.parametrize(("track", "axis"), EVERY)
def test_every_axis_of_a_setting_is_one_of_the_pages(track: str, axis: str) -> None:
    assert (axis in CHOSEN[track] and axis in ORDER) or page_axis(track, axis) in PAGE_AXES[track]


@pytest.mark.parametrize(("track", "axis"), [pair for pair in EVERY if pair not in FIXED])
def test_what_a_setting_tells_apart_the_pages_tell_apart(track: str, axis: str) -> None:
    one, other = changed(track, axis)
    assert setting_of(one) != setting_of(other)
    assert without(setting_of(one), track, axis) == without(setting_of(other), track, axis)
    if axis in CHOSEN[track]:
        return
    told = {axis.name for axis, was in zip(axes(other), axes(one), strict=True) if axis != was}
    assert page_axis(track, axis) in told <= {*PAGE_AXES[track]} and told <= {*ORDER}
    files = {chunk_name(track, axes(record)) for record in (one, other)}
    assert len(files) == (1 if told <= {"block", "num_layers", "recipe", "mode"} else 2)


def test_what_was_timed_alone_is_a_setting_of_its_own_and_no_history() -> None:
    plain = make_record(make_spec())
    alone, settled = (dataclasses.replace(plain, environment={**plain.environment, "timing": rule}) for rule in (ALONE, TIMING))
    found = {group.records[0].environment.get("timing"): group for group in Results([plain, alone, settled], {}).groups("kernel")}
    assert {rule: group.is_history for rule, group in found.items()} == {None: True, ALONE: False, TIMING: False}
    assert "timed alone" in found[ALONE].title


def test_what_a_setting_does_not_tell_apart_the_pages_do_not() -> None:
    record = make_record(make_spec())
    for other in (make_record(make_spec(variant="relu")), make_record(make_spec(seed=3)), dataclasses.replace(record, session="other")):
        assert setting_of(record) == setting_of(other) and axes(record) == axes(other)


@pytest.mark.parametrize("track", SETTING)
def test_a_record_and_its_row_have_one_setting(track: str) -> None:
    """So that what the statistics say of a setting is found by a record of it."""
    records = [record for record in site_records.usual() if record.spec.track == track]
    rows = comparable(frame(records), track)
    tested = [record for record in records if record.spec.evaluate == "test"]
    assert {as_texts(row) for row in rows[list(SETTING[track])].itertuples(index=False)} == set(map(setting_of, tested))


def labelled(**of: Any) -> dict[str, str]:
    """The labels of a record's axes on the pages, but those that go without saying."""
    return {axis.name: axis.label for axis in axes(make_record(make_spec(**of))) if not axis.usual}


def test_fewer_key_value_heads_are_said_in_the_shape() -> None:
    assert labelled()["shape"] == "batch 1, 4 heads of 64"
    assert labelled(num_heads=32, num_kv_heads=8, head_dim=128)["shape"] == "batch 1, 32 heads of 128, 8 key-value heads"


@pytest.mark.parametrize("track", ["depth", "task"])
def test_the_options_of_a_model_are_axes_that_the_usual_ones_go_without_saying(track: str) -> None:
    assert not {"token_shift", "init_norm"} & labelled(track=track, **FIRST[track]).keys()
    told = labelled(track=track, **FIRST[track], token_shift=True, init_norm=0.5)
    assert told["token_shift"] == "token shift before Q, K and V" and told["init_norm"] == "W_Q and W_K times 0.5 at the start"


def test_every_record_of_a_group_finds_its_place() -> None:
    results = Results(site_records.usual(), {})
    for track in SETTING:
        for group in results.groups(track):
            for record in group.records:
                assert results.label(record) in results.standings.places("result" if track == "task" else "time", record)


def test_processes_from_before_a_parameter_was_added_are_processes_of_the_same_cell() -> None:
    """Records of then lack it, and a chart drew its mechanism twice."""
    first = [each for each in site_settled.kernel_records() if each.spec.variant == "orthogonal"]
    defaults = SOURCES.declared["orthogonal"].params
    now = [with_params(each, defaults) if each.spec.seed == 0 else with_params(each, without_damping(defaults)) for each in first]
    assert len({str(each.spec.params) for each in now}) == 2
    for group in Results(now, SOURCES.declared).groups("kernel"):
        assert len(group.records) == len({(each.spec.mode, each.spec.seq_len) for each in group.records})


def without_damping(params: Mapping[str, Param]) -> dict[str, Param]:
    return {name: value for name, value in params.items() if name != "damping"}


def with_params(of: Record, params: Mapping[str, Param]) -> Record:
    spec = dataclasses.replace(of.spec, params=params)
    return dataclasses.replace(of, id=spec.key(), spec=spec)
