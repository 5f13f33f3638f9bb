"""A spec's key is a pure function of its axes, and bad axes are refused by name."""

from __future__ import annotations

import dataclasses
import math
from collections import namedtuple
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.errors import BadInput
from attnbench.spec import presets
from attnbench.spec.asv_params import values_of
from attnbench.spec.axes import BLOCKS, DEVICES, DTYPES, Spec
from attnbench.spec.parse import parse
from attnbench.store.record import UnreadableRecord, decode, encode
from helpers.records import make_record, make_spec

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=12).filter(str.strip)
whole = st.integers(-(2**63), 2**63 - 1)
plain = st.one_of(st.none(), st.booleans(), whole, st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(codec="utf-8")))
of_numpy = st.one_of(
    whole.map(np.int64),
    st.integers(0, 255).map(np.uint8),
    st.booleans().map(np.bool_),
    st.floats(-(2**80), 2**80, width=32).map(np.float32),
)
specs = st.builds(
    make_spec,
    variant=names,
    seq_len=st.integers(1, 2**20),
    dtype=st.sampled_from(DTYPES),
    mode=st.sampled_from(("forward", "training")),
    causal=st.booleans(),
    num_kv_heads=st.sampled_from((None, 1, 2, 4)),
    padded=st.floats(0, 1, exclude_max=True) | st.just(0),
    seed=whole,
    params=st.dictionaries(names, st.one_of(plain, of_numpy, st.lists(plain | of_numpy, max_size=3), st.tuples(plain, plain))),
)


@given(specs)
def test_what_is_written_is_read_back_with_the_same_id(spec: Spec) -> None:
    """By the command in a record, and by the record itself."""
    record = make_record(spec)
    for again in (parse(spec.compact()), decode(encode(record)).spec):
        assert again == spec and again.key() == spec.key() == record.id
        assert repr(sorted(again.params.items())) == repr(sorted(spec.params.items()))  # 1, 1.0 and True are equal, and not the same


HALF = "half \ud800"
UNFIT = {
    "infinity": math.inf, "nan": math.nan, "65 bits": 2**63, "thousands of digits": 10**5000, "bytes": b"x", "complex": 1j,
    "fraction": Fraction(1, 3), "enum of whole numbers": IntEnum("Sizes", ["SMALL"])(1), "enum of texts": StrEnum("Kinds", ["A"])("a"),
    "text of another class": type("Text", (str,), {})("x"), "half a surrogate pair": HALF, "dict": {"a": 1}, "set": {1},
    "list in a list": [[1]], "infinity in a list": [1, -math.inf], "named tuple": namedtuple("Pair", "a")(1), "array": np.zeros(2),
    "longer float": np.longdouble(1) / 3, "date": np.datetime64("2026-11-22", "ns"), "module": math,
}  # fmt: skip


@pytest.mark.parametrize("kind", UNFIT)
def test_a_value_that_json_cannot_hold_exactly_is_refused_by_name(kind: str) -> None:
    with pytest.raises(BadInput, match=r"^parameter 'sizes' is .*; give a number, text, True, False, None, or a list of these"):
        make_spec(params={"sizes": UNFIT[kind]})


@pytest.mark.parametrize("name", ["", " ", "two\nlines", HALF, 1, None])
def test_a_name_that_no_line_can_show_is_refused(name: Any) -> None:
    with pytest.raises(BadInput, match="a parameter is called"):
        make_spec(params={name: 1})
    if name is not None:
        with pytest.raises(BadInput, match="variant is"):
            make_spec(variant=name)
        with pytest.raises(BadInput, match="task is"):
            make_spec(**{**TASK_AXES, "task": name})


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"seq_len": 0}, "seq_len is 0; it must be a whole number of at least 1"),
        ({"seq_len": True}, "seq_len is True"),
        ({"seq_len": 64.0}, r"seq_len is 64\.0"),
        ({"batch_size": None}, "batch_size is None"),
        ({"seed": 2**63}, "seed is"),
        ({"seed": 0.5}, "seed is"),
        ({"causal": 1}, "causal is 1"),
        ({"mode": None}, "unknown mode"),
        ({"params": [1]}, "the parameters are"),
    ],
)
def test_an_axis_that_json_and_every_table_cannot_hold_is_refused(axes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        make_spec(**axes)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"seq_len": 2**63}, "seq_len is 9223372036854775808; it must be a whole number of at least 1, and at most 2\\^53"),
        ({"batch_size": 2**53 + 1}, "batch_size is 9007199254740993"),
        ({"num_heads": 2**30, "head_dim": 2**30}, r"num_heads \* head_dim is"),
    ],
)
def test_a_size_that_no_table_holds_is_run_and_recorded_by_nobody(axes: dict[str, Any], said: str) -> None:
    spec = make_spec(**axes)
    with pytest.raises(BadInput, match=said):
        parse(spec.compact())
    with pytest.raises(UnreadableRecord, match=said):
        decode(encode(make_record(spec)))
    assert make_spec(seq_len=2**53).too_large() is None


@pytest.mark.parametrize("lr", [math.inf, math.nan, 10**400, "0.1", True])
def test_a_rate_is_a_finite_number(lr: Any) -> None:
    with pytest.raises(BadInput, match="lr is"):
        make_spec(**{**TASK_AXES, "lr": lr})


def test_a_whole_rate_has_the_id_that_its_record_gives_back() -> None:
    spec = make_spec(**{**TASK_AXES, "lr": 1})
    assert decode(encode(make_record(spec))).spec.key() == spec.key()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"track":"kernel","variant":"x","seq_len":' + "9" * 5000 + "}", "{} {}", '"x"'])
def test_a_cell_that_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="the cell"):
        parse(text)


@pytest.mark.parametrize("axes", [{}, {"causal": True, "track": "depth", "block": "residual", "num_layers": 1}])
@pytest.mark.parametrize("mode", ["prefill", "decode"])
def test_what_is_done_with_a_prompt_is_of_causal_kernel_cells(mode: str, axes: dict[str, Any]) -> None:
    assert make_spec(mode=mode, causal=True).label() == f"kernel · softmax · seq_len 1,024 · {mode} · causal"
    with pytest.raises(BadInput, match="causal kernel cell"):
        make_spec(mode=mode, **axes)


@pytest.mark.parametrize("padded", [-0.1, 1, 1.0, math.nan, 10**400, "0.3", True, None])
def test_the_share_that_is_padded_leaves_tokens(padded: Any) -> None:
    with pytest.raises(BadInput, match=r"padded is .*from 0 to below 1"):
        make_spec(padded=padded)


@pytest.mark.parametrize("axes", [{"mode": "prefill", "causal": True}, {"mode": "decode", "causal": True}])
def test_only_a_pass_of_a_whole_batch_is_padded(axes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"has no padding, and padded is 0\.25; give mode forward or training"):
        make_spec(padded=0.25, **axes)


@pytest.mark.parametrize(
    ("axes", "lengths"),
    [
        ({"seq_len": 97, "batch_size": 1, "padded": 0.0}, (97,)),
        ({"seq_len": 100, "batch_size": 1, "padded": 0.25}, (75,)),
        ({"seq_len": 100, "batch_size": 3, "padded": 0.25}, (100, 75, 50)),
        ({"seq_len": 10, "batch_size": 3, "padded": 0.9}, (10, 1, 1)),
        ({"seq_len": 1, "batch_size": 2, "padded": 0.5}, (1, 1)),
    ],
)
def test_padding_grows_evenly_from_sequence_to_sequence(axes: dict[str, Any], lengths: tuple[int, ...]) -> None:
    assert make_spec(**axes).lengths() == lengths


@pytest.mark.parametrize(
    ("num_kv_heads", "said"),
    [
        (3, r"num_kv_heads is 3; it must divide num_heads, which is 4"),
        (8, r"num_kv_heads is 8; it must divide num_heads, which is 4"),
        (0, r"num_kv_heads is 0; it must be a whole number of at least 1"),
        (-1, r"num_kv_heads is -1; it must be a whole number"),
        (2.0, r"num_kv_heads is 2\.0; it must be a whole number"),
        (4.0, r"num_kv_heads is 4\.0; it must be a whole number"),
        (True, r"num_kv_heads is True"),
        ("2", r"num_kv_heads is '2'"),
    ],
)
def test_key_value_heads_divide_the_heads(num_kv_heads: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        make_spec(num_kv_heads=num_kv_heads)


def test_as_many_key_value_heads_as_heads_are_the_same_cell_as_none_said() -> None:
    for same in (
        make_spec(num_kv_heads=4),
        parse('{"track":"kernel","variant":"softmax","mode":"forward","seq_len":1024,"num_kv_heads":4}'),
    ):
        assert same == make_spec() and same.key() == make_spec().key() and "num_kv_heads" not in same.compact()
    assert [make_spec(num_kv_heads=n).kv_heads for n in (None, 1, 2, 4)] == [4, 1, 2, 4]


def test_a_shape_that_is_not_the_default_is_in_the_label() -> None:
    spec = make_spec(batch_size=4, padded=0.33, num_heads=2, head_dim=128, dtype="bfloat16", seed=1)
    assert spec.label() == "kernel · softmax · seq_len 1,024 · forward · batch 4 · 0.33 padded · 2 heads of 128 · bfloat16 · seed 1"
    assert make_spec(num_kv_heads=1).label() == "kernel · softmax · seq_len 1,024 · forward · 4 heads of 64, 1 key-value head"


def test_no_padding_written_as_a_whole_number_is_the_same_cell() -> None:
    assert make_spec(padded=0) == make_spec() and parse(make_spec(padded=0).compact()).key() == make_spec().key()


@pytest.mark.parametrize("token_shift", [1, 0, None, "yes"])
def test_an_option_is_on_or_off(token_shift: Any) -> None:
    with pytest.raises(BadInput, match=r"token_shift is .*; it must be true or false"):
        make_spec(**{**TASK_AXES, "token_shift": token_shift})


@pytest.mark.parametrize("init_norm", [0, 0.0, -1.0, math.inf, math.nan, 10**400, "1", True, None])
def test_the_norm_at_the_start_is_a_finite_factor(init_norm: Any) -> None:
    with pytest.raises(BadInput, match=r"init_norm is .*; it must be a finite number above 0"):
        make_spec(**{**TASK_AXES, "init_norm": init_norm})


def test_a_norm_written_as_a_whole_number_is_the_same_cell() -> None:
    assert make_spec(**TASK_AXES, init_norm=1) == make_spec(**TASK_AXES)
    spec = make_spec(**TASK_AXES, init_norm=2)
    assert parse(spec.compact()).key() == decode(encode(make_record(spec))).spec.key() == spec.key()


def test_the_options_of_a_model_are_in_its_label() -> None:
    assert make_spec(**TASK_AXES, token_shift=True).label() == "task · softmax · mnist · residual · 2 layers · token_shift · seed 0"
    tuning = make_spec(**TASK_AXES, init_norm=1 / 3, evaluate="validation")
    assert tuning.label() == "task · softmax · mnist · residual · 2 layers · init_norm 0.333333 · tuning, lr 0.1"
    deep = make_spec(track="depth", block="skipless", num_layers=1, token_shift=True, init_norm=0.5)
    assert deep.label() == "depth · softmax · skipless · 1 layer · token_shift · init_norm 0.5 · forward"
    assert parse(deep.compact()) == deep and decode(encode(make_record(deep))).spec == deep


def test_a_preset_may_fix_an_option() -> None:
    grid = presets.TaskGrid(("mnist",), ("softmax",), seeds=1, fixed={"block": "residual", "token_shift": True, "init_norm": 2})
    assert [(spec.token_shift, spec.init_norm) for spec in grid.specs("cpu", (), {"mnist": "mnist"})] == [(True, 2.0)]


def test_key_is_known() -> None:
    """The id of a shipped record may never change by accident."""
    assert make_spec().key() == "6299c5ce8f452387"
    assert make_spec(**TASK_AXES).key() == "54df487d9acf20da"
    assert make_spec(track="depth", block="skipless", num_layers=2).key() == "c93c5f56c45724d5"


CHANGED = {
    "kernel": {
        "track": None, "variant": "x", "params": {"a": 1}, "device": "cuda", "dtype": "float16", "mode": "training", "causal": True,
        "batch_size": 9, "num_heads": 9, "head_dim": 9, "seq_len": 9, "seed": 9, "padded": 0.25, "num_kv_heads": 2,
    },
    "task": {"block": "skipless", "num_layers": 9, "task": "x", "data": "x", "epochs": 9, "lr": 0.9, "lr_grid": "0.9 1",
             "evaluate": "validation", "causal": True, "dtype": "bfloat16", "token_shift": True,
             "init_norm": 0.5},
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
        ({}, "token_shift", True),
        ({}, "init_norm", 0.5),
        ({}, "lr_grid", "0.1"),
        ({}, "evaluate", "validation"),
        (TASK_AXES, "mode", "forward"),
        (TASK_AXES, "seq_len", 7),
        (TASK_AXES, "padded", 0.25),
        (TASK_AXES, "num_kv_heads", 2),
        ({"track": "depth", "block": "residual", "num_layers": 1}, "num_kv_heads", 2),
        ({"track": "depth", "block": "residual", "num_layers": 1}, "padded", 0.25),
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


@pytest.mark.long  # of ten thousand cells
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
