"""A spec's key is a pure function of its axes, which a record and a command give back as they were."""

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
from attnbench.spec.axes import Spec
from attnbench.spec.axis_values import DTYPES
from attnbench.spec.parse import parse
from attnbench.store.record import decode, encode
from helpers.records import TASK, make_record, make_spec

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
            make_spec(**{**TASK, "task": name})


def test_a_whole_rate_has_the_id_that_its_record_gives_back() -> None:
    spec = make_spec(**{**TASK, "lr": 1})
    assert decode(encode(make_record(spec))).spec.key() == spec.key()


def test_as_many_key_value_heads_as_heads_are_the_same_cell_as_none_said() -> None:
    for same in (
        make_spec(num_kv_heads=4),
        parse('{"track":"kernel","variant":"softmax","mode":"forward","seq_len":1024,"num_kv_heads":4}'),
    ):
        assert same == make_spec() and same.key() == make_spec().key() and "num_kv_heads" not in same.compact()
    assert [make_spec(num_kv_heads=n).kv_heads for n in (None, 1, 2, 4)] == [4, 1, 2, 4]


def test_no_padding_written_as_a_whole_number_is_the_same_cell() -> None:
    assert make_spec(padded=0) == make_spec() and parse(make_spec(padded=0).compact()).key() == make_spec().key()


def test_a_length_to_test_on_and_positions_change_the_key() -> None:
    assert len({make_spec(**TASK, positions="none", test_seq_len=n).key() for n in (None, 98, 196)}) == 3


def test_a_rate_that_was_tuned_at_other_epochs_makes_another_cell() -> None:
    tuned = {**TASK, "epochs": 8, "lr_grid": "0.001 0.003"}
    assert len({make_spec(**tuned, tuned_epochs=n).key() for n in (None, 4, 16)}) == 3
    assert make_spec(**tuned, tuned_epochs=8) == make_spec(**tuned) and "tuned_epochs" not in make_spec(**tuned, tuned_epochs=8).compact()


def test_a_task_at_its_defaults_is_the_cell_of_before_there_was_any_difficulty() -> None:
    assert make_spec(**TASK, task_params={}) == make_spec(**TASK)
    spec = make_spec(**TASK, task_params={"pairs": 16, "kind": "x"})
    assert parse(spec.compact()).key() == decode(encode(make_record(spec))).spec.key() == spec.key()
    assert spec.task_label() == "mnist, kind x, pairs 16" and spec.task_label() in spec.label()


def test_a_norm_written_as_a_whole_number_is_the_same_cell() -> None:
    assert make_spec(**TASK, init_norm=1) == make_spec(**TASK)
    spec = make_spec(**TASK, init_norm=2)
    assert parse(spec.compact()).key() == decode(encode(make_record(spec))).spec.key() == spec.key()


def test_key_is_known() -> None:
    """The id of a shipped record may never change by accident."""
    assert make_spec().key() == "6299c5ce8f452387"
    assert make_spec(**TASK).key() == "54df487d9acf20da"
    assert make_spec(track="depth", block="skipless", num_layers=2).key() == "c93c5f56c45724d5"


CHANGED = {
    "kernel": {
        "track": None, "variant": "x", "params": {"a": 1}, "device": "cuda", "dtype": "float16", "mode": "training", "causal": True,
        "batch_size": 9, "num_heads": 9, "head_dim": 9, "seq_len": 9, "seed": 9, "padded": 0.25, "num_kv_heads": 2,
    },
    "task": {"block": "skipless", "num_layers": 9, "task": "x", "data": "x", "epochs": 9, "lr": 0.9, "lr_grid": "0.9 1",
             "evaluate": "validation", "causal": True, "dtype": "bfloat16", "token_shift": True,
             "init_norm": 0.5, "positions": "rotary", "task_params": {"pairs": 16}, "protocol": "x", "weight_decay": 0.1,
             "test_seq_len": None, "tuned_epochs": None},
}  # fmt: skip


def test_every_axis_changes_the_key() -> None:
    assert CHANGED["kernel"].keys() | CHANGED["task"].keys() == {f.name for f in dataclasses.fields(Spec)}
    for base, changes in ((make_spec(), CHANGED["kernel"]), (make_spec(**TASK), CHANGED["task"])):
        changed = [dataclasses.replace(base, **{axis: value}) for axis, value in changes.items() if value is not None]
        assert len({spec.key() for spec in (base, *changed)}) == len(changed) + 1
    assert make_spec(**TASK).key() != make_spec().key()
