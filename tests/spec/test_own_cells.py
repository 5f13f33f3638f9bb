"""Cells of a user's own shape: the product of flags, with softmax beside each, and an error for what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from attnbench.errors import BadInput
from attnbench.spec.own_cells import own_specs


def labels(given: Mapping[str, Sequence[str]], *variants: str) -> list[str]:
    return [spec.label().removeprefix("kernel · ") for spec in own_specs(given, variants, "cpu")]


def test_one_shape_is_measured_forward_and_training_and_softmax_beside_it() -> None:
    assert labels({"seq_len": ["3000"], "num_heads": ["32"], "head_dim": ["128"]}, "mine") == [
        "softmax · seq_len 3,000 · forward · 32 heads of 128",
        "mine · seq_len 3,000 · forward · 32 heads of 128",
        "softmax · seq_len 3,000 · training · 32 heads of 128",
        "mine · seq_len 3,000 · training · 32 heads of 128",
    ]


def test_key_value_heads_are_an_axis_and_as_many_as_heads_go_without_saying() -> None:
    given = {"seq_len": ["5"], "mode": ["decode"], "num_heads": ["32"], "num_kv_heads": ["8,32"], "head_dim": ["128"]}
    assert labels(given, "softmax") == [
        "softmax · seq_len 5 · decode · causal · 32 heads of 128, 8 key-value heads",
        "softmax · seq_len 5 · decode · causal · 32 heads of 128",
    ]


def test_several_values_come_with_commas_or_by_repeating_and_each_once() -> None:
    found = labels({"seq_len": ["5, 7", "11", "7"], "mode": ["forward"], "dtype": ["bfloat16"]}, "softmax")
    assert found == [f"softmax · seq_len {n} · forward · bfloat16" for n in (5, 7, 11)]


def test_processes_are_seeds_and_those_of_a_cell_lie_apart() -> None:
    found = labels({"seq_len": ["5,7"], "mode": ["forward"], "processes": ["2"]}, "softmax")
    assert [text.removeprefix("softmax · seq_len ") for text in found] == [
        "5 · forward",
        "7 · forward",
        "5 · forward · seed 1",
        "7 · forward · seed 1",
    ]
    assert labels({"seq_len": ["5"], "mode": ["forward"], "seed": ["2,4"]}, "softmax")[1].endswith("seed 4")


def test_a_prompt_is_causal_without_saying_so() -> None:
    assert labels({"seq_len": ["5"], "mode": ["decode,prefill,forward"]}, "softmax") == [
        "softmax · seq_len 5 · decode · causal",
        "softmax · seq_len 5 · prefill · causal",
        "softmax · seq_len 5 · forward",
    ]
    assert labels({"seq_len": ["5"], "mode": ["forward"], "causal": ["true"]}, "softmax") == ["softmax · seq_len 5 · forward · causal"]


def test_padding_and_batches_are_axes_too() -> None:
    found = own_specs({"seq_len": ["100"], "mode": ["forward"], "padded": ["0,.25"], "batch_size": ["3"]}, ("softmax",), "cuda")
    assert [spec.lengths() for spec in found] == [(100, 100, 100), (100, 75, 50)]
    assert {spec.device for spec in found} == {"cuda"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dtype": ["bfloat16"]}, r"--dtype asks for cells of a shape of your own, which needs a length; give --seq-len too"),
        ({"seq_len": ["long"]}, r"--seq-len is 'long'; give whole numbers, several with commas"),
        ({"seq_len": ["3,"]}, r"--seq-len is '3,'; give whole numbers"),
        ({"seq_len": ["1.5"]}, r"--seq-len is '1.5'"),
        ({"seq_len": ["0"]}, r"seq_len is 0; it must be a whole number of at least 1"),
        ({"seq_len": ["9" * 19]}, r"seq_len is 9{19}; it must be .* at most 2\^53"),
        ({"seq_len": ["8"], "mode": ["froward"]}, r"did you mean 'forward'"),
        ({"seq_len": ["8"], "dtype": ["float31"]}, r"did you mean 'float32'"),
        ({"seq_len": ["8"], "num_kv_heads": ["3"]}, r"num_kv_heads is 3; it must divide num_heads, which is 4"),
        ({"seq_len": ["8"], "num_kv_heads": ["few"]}, r"--num-kv-heads is 'few'; give whole numbers"),
        ({"num_kv_heads": ["2"]}, r"--num-kv-heads asks for cells of a shape of your own, which needs a length"),
        ({"seq_len": ["8"], "padded": ["half"]}, r"--padded is 'half'; give shares from 0 to below 1"),
        ({"seq_len": ["8"], "padded": ["1"]}, r"padded is 1.0; it must be the share"),
        ({"seq_len": ["8"], "padded": ["0.5"], "mode": ["decode"]}, r"mode decode has no padding"),
        ({"seq_len": ["8"], "mode": ["decode"], "causal": ["false"]}, r"mode decode, .*, is a causal kernel cell's"),
        ({"seq_len": ["8"], "processes": ["0"]}, r"--processes is one whole number, 1 to 1,000"),
        ({"seq_len": ["8"], "processes": ["9" * 19]}, r"--processes is one whole number, 1 to 1,000"),
        ({"seq_len": ["8"], "processes": ["2"], "seed": ["1"]}, r"in place of --seed"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, list[str]], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        labels(given, "softmax")
