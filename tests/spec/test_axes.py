"""Bad axes are refused by name; what a label says of good ones, and how padding is spread."""

from __future__ import annotations

import math
from typing import Any

import pytest

from attnbench.errors import BadInput
from attnbench.spec.parse import parse
from attnbench.store.record import UnreadableRecord, decode, encode
from helpers.records import TASK, make_record, make_spec

STEP = {"track": "step", "task": "mnist", "block": "residual", "num_layers": 1, "seq_len": None, "mode": "training"}


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
        make_spec(**{**TASK, "lr": lr})


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


def test_a_shape_that_is_not_the_default_is_in_the_label() -> None:
    spec = make_spec(batch_size=4, padded=0.33, num_heads=2, head_dim=128, dtype="bfloat16", seed=1)
    assert spec.label() == "kernel · softmax · seq_len 1,024 · forward · batch 4 · 0.33 padded · 2 heads of 128 · bfloat16 · seed 1"
    assert make_spec(num_kv_heads=1).label() == "kernel · softmax · seq_len 1,024 · forward · 4 heads of 64, 1 key-value head"


@pytest.mark.parametrize("token_shift", [1, 0, None, "yes"])
def test_an_option_is_on_or_off(token_shift: Any) -> None:
    with pytest.raises(BadInput, match=r"token_shift is .*; it must be true or false"):
        make_spec(**{**TASK, "token_shift": token_shift})


@pytest.mark.parametrize("init_norm", [0, 0.0, -1.0, math.inf, math.nan, 10**400, "1", True, None])
def test_the_norm_at_the_start_is_a_finite_factor(init_norm: Any) -> None:
    with pytest.raises(BadInput, match=r"init_norm is .*; it must be a finite number above 0"):
        make_spec(**{**TASK, "init_norm": init_norm})


def test_the_options_of_a_model_are_in_its_label() -> None:
    assert make_spec(**TASK, token_shift=True).label() == "task · softmax · mnist · residual · 2 layers · token_shift · seed 0"
    tuning = make_spec(**TASK, init_norm=1 / 3, evaluate="validation")
    assert tuning.label() == "task · softmax · mnist · residual · 2 layers · init_norm 0.333333 · tuning, lr 0.1"
    deep = make_spec(track="depth", block="skipless", num_layers=1, token_shift=True, init_norm=0.5)
    assert deep.label() == "depth · softmax · skipless · 1 layer · token_shift · init_norm 0.5 · forward"
    assert parse(deep.compact()) == deep and decode(encode(make_record(deep))).spec == deep


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"positions": "sines"}, "unknown positions 'sines'"),
        ({"positions": "rotary", "head_dim": 15}, "head_dim is 15; give an even head_dim"),
        ({"test_seq_len": 98}, "learned positions end where training did"),
        ({"test_seq_len": 98.0, "positions": "none"}, "test_seq_len is 98"),
        ({"tuned_epochs": 2, "lr_grid": None}, "tuned_epochs is 2, and lr is given, not chosen"),
        ({"tuned_epochs": 0.5, "lr_grid": "0.1 0.3"}, "tuned_epochs is 0.5; it must be a whole number"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1; it must be a finite number of at least 0"),
        ({"weight_decay": math.inf}, "weight_decay is inf"),
        ({"protocol": ""}, "protocol is ''"),
        ({"protocol": None}, "protocol is None"),
        ({"task_params": {"pairs": [[1]]}}, "parameter 'pairs' of the task is"),
        ({"task_params": [1]}, "the parameters of the task are"),
    ],
)
def test_how_a_task_is_trained_and_tested_is_checked(axes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        make_spec(**{**TASK, **axes})


@pytest.mark.parametrize(
    ("base", "axis", "value"),
    [
        ({}, "positions", "none"),
        ({}, "task_params", {"pairs": 2}),
        ({}, "protocol", "2026-12"),
        (
            {"track": "step", "task": "mnist", "block": "residual", "num_layers": 1, "seq_len": None, "mode": "training"},
            "weight_decay",
            0.0,
        ),
        ({}, "block", "residual"),
        ({}, "lr", 0.1),
        ({}, "token_shift", True),
        ({}, "init_norm", 0.5),
        ({}, "lr_grid", "0.1"),
        ({}, "evaluate", "validation"),
        (TASK, "mode", "forward"),
        (TASK, "seq_len", 7),
        (TASK, "padded", 0.25),
        (TASK, "num_kv_heads", 2),
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
        ({**TASK, "dtype": "float16"}, "trains in float32 or bfloat16"),
        ({**TASK, "lr": None}, "needs lr, or lr_grid"),
        ({**TASK, "lr": 0.0}, "above 0"),
        ({**TASK, "evaluate": "train"}, "unknown evaluate 'train'"),
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
