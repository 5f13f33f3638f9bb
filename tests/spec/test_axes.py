"""A spec's key is a pure function of its axes, and bad axes are refused by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.errors import BadInput
from attnbench.spec import presets
from attnbench.spec.asv_params import values_of
from attnbench.spec.axes import BLOCKS, DEVICES, DTYPES, MODES, Spec, parse
from helpers.records import make_spec

specs = st.builds(
    make_spec,
    variant=st.text(min_size=1, max_size=12),
    seq_len=st.integers(1, 2**20),
    dtype=st.sampled_from(DTYPES),
    mode=st.sampled_from([mode for mode in MODES if mode != "decode"]),
    causal=st.booleans(),
    params=st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())),
)


@given(specs)
def test_compact_round_trip_keeps_the_key(spec: Spec) -> None:
    assert parse(spec.compact()).key() == spec.key()


@pytest.mark.parametrize("axes", [{}, {"causal": True, "track": "depth", "block": "residual", "num_layers": 1}])
def test_decoding_is_of_causal_kernel_cells(axes: dict[str, Any]) -> None:
    assert make_spec(mode="decode", causal=True).label() == "kernel · softmax · seq_len 1,024 · decode · causal"
    with pytest.raises(BadInput, match=r"causal kernel cell|has no causal"):
        make_spec(mode="decode", **axes)


def test_key_is_known() -> None:
    """The id of a shipped record may never change by accident."""
    assert make_spec().key() == "6299c5ce8f452387"


CHANGED = {
    "kernel": {
        "track": None, "variant": "x", "params": {"a": 1}, "device": "cuda", "dtype": "float16", "mode": "training", "causal": True,
        "batch_size": 9, "num_heads": 9, "head_dim": 9, "seq_len": 9, "seed": 9,
    },
    "task": {"block": "skipless", "num_layers": 9, "task": "x", "data": "x", "epochs": 9, "lr": 0.9, "lr_grid": "0.9 1",
             "evaluate": "validation", "causal": True, "dtype": "bfloat16"},
}  # fmt: skip
TASK_AXES = {
    "track": "task",
    "seq_len": None,
    "mode": "training",
    "task": "mnist",
    "block": "residual",
    "num_layers": 2,
    "epochs": 1,
    "lr": 0.1,
}


def test_every_axis_changes_the_key() -> None:
    assert CHANGED["kernel"].keys() | CHANGED["task"].keys() == {f.name for f in dataclasses.fields(Spec)}
    for base, changes in ((make_spec(), CHANGED["kernel"]), (make_spec(**TASK_AXES), CHANGED["task"])):
        changed = [dataclasses.replace(base, **{axis: value}) for axis, value in changes.items() if value is not None]
        assert len({spec.key() for spec in (base, *changed)}) == len(changed) + 1
    assert make_spec(**TASK_AXES).key() != make_spec().key()


@pytest.mark.parametrize(
    ("base", "axis", "value"),
    [
        ({}, "block", "residual"),
        ({}, "lr", 0.1),
        ({}, "lr_grid", "0.1"),
        ({}, "evaluate", "validation"),
        (TASK_AXES, "mode", "forward"),
        (TASK_AXES, "seq_len", 7),
    ],
)
def test_an_axis_that_the_track_would_ignore_is_refused(base: dict[str, object], axis: str, value: object) -> None:
    with pytest.raises(BadInput, match=f"has no {axis}"):
        make_spec(**{**base, axis: value})


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"track": "kernal"}, "did you mean 'kernel'"),
        ({"mode": "trainin"}, "did you mean 'training'"),
        ({"dtype": "float31"}, "float32"),
        ({"seq_len": 0}, "at least 1"),
        ({"seq_len": None}, "needs seq_len"),
        ({"num_heads": 2.5}, "whole number"),
        ({**TASK_AXES, "dtype": "float16"}, "trains in float32 or bfloat16"),
        ({**TASK_AXES, "lr": None}, "needs lr, or lr_grid"),
        ({**TASK_AXES, "lr": 0.0}, "above 0"),
        ({**TASK_AXES, "evaluate": "train"}, "unknown evaluate 'train'"),
    ],
)
def test_bad_axes_are_refused(axes: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        make_spec(**axes)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"track":null,"variant":"softmax"}',
        '{"track":"kernel","variant":5,"seq_len":1}',
        '{"track":"kernel"}',
        '{"track":"kernel","variant":"softmax","seqlen":1}',
    ],
)
def test_bad_cells_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_preset_cells_are_distinct(name: str) -> None:
    specs = presets.load(name).specs()
    assert len({spec.key() for spec in specs}) == len(specs)


def test_the_parameters_of_asv_tell_all_cells_of_all_presets_apart() -> None:
    specs = {s.key(): s for name in presets.PRESETS for device in DEVICES for s in presets.load(name).specs(device)}
    assert len({(spec.track, *values_of(spec)) for spec in specs.values()}) == len(specs)


def test_claims_hold_three_seeds_of_every_cell_but_trials() -> None:
    seeds: dict[object, set[int]] = {}
    for spec in presets.load("claims").specs():
        seeds.setdefault(dataclasses.replace(spec, seed=0).key(), set()).add(spec.seed)
    assert set(map(frozenset, seeds.values())) == {frozenset({0, 1, 2})}


def test_quick_holds_exactly_the_four_mechanisms_and_every_track() -> None:
    specs = presets.load("quick").specs()
    assert {spec.variant for spec in specs} == {"softmax", "softmax_math", "orthogonal", "polynomial"}
    assert {spec.track for spec in specs} == {"kernel", "depth", "task"}
    assert {spec.block for spec in specs if spec.track == "depth"} == set(BLOCKS)
    assert {spec.task for spec in specs if spec.track == "task"} == {"mnist", "sotu_era"}
