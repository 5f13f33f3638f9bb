"""A spec's key is a pure function of its axes, and bad axes are refused by name."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench import presets
from attnbench.errors import BadInput
from attnbench.face import AXES
from attnbench.spec import BLOCKS, DTYPES, MODES, Spec, parse
from factory import make_spec

specs = st.builds(
    make_spec,
    variant=st.text(min_size=1, max_size=12),
    seq_len=st.integers(1, 2**20),
    dtype=st.sampled_from(DTYPES),
    mode=st.sampled_from(MODES),
    causal=st.booleans(),
    params=st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())),
)


@given(specs)
def test_compact_round_trip_keeps_the_key(spec: Spec) -> None:
    assert parse(spec.compact()).key() == spec.key()


def test_key_is_known() -> None:
    """The id of a shipped record may never change by accident."""
    assert make_spec().key() == "33fab545aae6d9ac"


def test_every_axis_changes_the_key() -> None:
    base = Spec(track="task", variant="softmax", task="mnist", block="residual", num_layers=2, epochs=1, lr=0.1)
    other = {
        "track": "depth", "variant": "x", "params": {"a": 1}, "device": "cuda", "dtype": "float16", "mode": "forward", "causal": True,
        "batch_size": 9, "num_heads": 9, "head_dim": 9, "seq_len": 9, "block": "skipless", "num_layers": 9, "task": "x", "data": "x",
        "epochs": 9, "lr": 0.9, "seed": 9,
    }  # fmt: skip
    assert other.keys() == {f.name for f in dataclasses.fields(Spec)}
    base = dataclasses.replace(base, seq_len=8)
    keys = {dataclasses.replace(base, **{axis: value}).key() for axis, value in other.items()}
    assert len(keys | {base.key()}) == len(other) + 1


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"track": "kernal"}, "did you mean 'kernel'"),
        ({"mode": "trainin"}, "did you mean 'training'"),
        ({"dtype": "float31"}, "float32"),
        ({"seq_len": 0}, "at least 1"),
        ({"seq_len": None}, "needs seq_len"),
        ({"num_heads": 2.5}, "whole number"),
    ],
)
def test_bad_axes_are_refused(axes: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        make_spec(**axes)


@pytest.mark.parametrize("text", ["{", "[1]", '{"track":"kernel"}', '{"track":"kernel","variant":"softmax","seqlen":1}'])
def test_bad_cells_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_preset_cells_are_distinct_also_on_the_axes_of_asv(name: str) -> None:
    specs = presets.load(name).specs()
    assert len({spec.key() for spec in specs}) == len(specs)
    shown = {(spec.track, *(getattr(spec, axis) for axis in AXES[spec.track])) for spec in specs}
    assert len(shown) == len(specs)


def test_quick_holds_exactly_the_four_mechanisms_and_every_track() -> None:
    specs = presets.load("quick").specs()
    assert {spec.variant for spec in specs} == {"softmax", "softmax_math", "orthogonal", "polynomial"}
    assert {spec.track for spec in specs} == {"kernel", "depth", "task"}
    assert {spec.block for spec in specs if spec.track == "depth"} == set(BLOCKS)
    assert {spec.task for spec in specs if spec.track == "task"} == {"mnist", "sotu_era"}
