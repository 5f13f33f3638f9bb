"""A cell's parameters for asv: what is written is read back, whatever the cell."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.spec.asv_params import spec_of, values_of
from attnbench.spec.axes import Spec
from attnbench.spec.axis_values import BLOCKS, DEVICES, DTYPES, MODES, POSITIONS, TASK_DTYPES
from attnbench.spec.presets import PRESETS
from attnbench.spec.protocol import PROTOCOLS

SETTING = "cpu, float32, batch 1, 4 heads of 64"
whole = st.integers(1, 2**26)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1).filter(str.strip)
plain = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts
)  # what a list may hold
params = st.dictionaries(
    st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True),
    plain | st.lists(plain, max_size=4),
    max_size=3,
)
shapes = st.fixed_dictionaries(
    {"variant": names, "device": st.sampled_from(DEVICES), "batch_size": whole, "num_heads": whole, "head_dim": whole, "params": params}
)
rates = st.floats(1e-9, 1e9)
modes, seeds = st.sampled_from(MODES[:2]), st.integers(-5, 5)
shares = st.floats(0, 1, exclude_max=True)
groups = st.sampled_from((1, 2))  # heads of queries that share a head of keys and values
kernel = st.fixed_dictionaries(
    {"seq_len": whole, "seed": seeds, "dtype": st.sampled_from(DTYPES), "mode": modes, "causal": st.booleans(), "padded": shares}
)
of_training = st.fixed_dictionaries(
    {
        "positions": st.sampled_from(POSITIONS), "weight_decay": shares | st.just(0.05), "protocol": st.sampled_from(list(PROTOCOLS)),
        "task_params": st.none() | params,
    }
)  # fmt: skip
options = st.fixed_dictionaries({"token_shift": st.booleans(), "init_norm": rates | st.just(1)})
depth = st.fixed_dictionaries({"seq_len": whole, "seed": seeds, "block": st.sampled_from(BLOCKS), "num_layers": whole, "mode": modes})
task = st.fixed_dictionaries(
    {
        "task": names, "seed": seeds, "block": st.sampled_from(BLOCKS), "num_layers": whole, "epochs": whole,
        "dtype": st.sampled_from(TASK_DTYPES), "causal": st.booleans(),
    }
)  # fmt: skip
learning = st.fixed_dictionaries({"lr": rates}) | st.fixed_dictionaries({"lr_grid": st.sampled_from(["0.001", "0.001 0.003 0.01"])})
specs = st.one_of(
    st.builds(
        lambda a, b, n: Spec(track="kernel", **{**a, "num_heads": n * a["num_heads"], "num_kv_heads": a["num_heads"]}, **b),
        shapes,
        kernel,
        groups,
    ),
    st.builds(lambda a, b, c: Spec(track="depth", **a, **b, **c), shapes, depth, options),
    st.builds(
        lambda a, b, c, d, e: Spec(track="task", **{**a, "head_dim": 2 * a["head_dim"]}, **b, **c, **d, **e),
        shapes,
        task,
        learning,
        options,
        of_training,
    ),
)


def as_asv_keeps(spec: Spec) -> tuple[Any, ...]:
    """asv keeps the notation of every value, and reads it again."""
    return tuple(ast.literal_eval(repr(value)) for value in values_of(spec))


@given(specs)
def test_every_cell_is_read_back(spec: Spec) -> None:
    assert spec_of(spec.track, as_asv_keeps(spec)) == spec


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=pytest.mark.long) if name == "full" else name for name in PRESETS]
)  # of ten thousand cells
def test_every_cell_of_a_preset_is_read_back(preset: str) -> None:
    for device in DEVICES:
        for spec in PRESETS[preset].specs(device):
            assert spec_of(spec.track, as_asv_keeps(spec)) == spec


ODD = ["3", "None", "1e5", "[1, 2]", "a, b 3", "it's", " edge ", "", "two words", "line\nbreak", "both \"'", "\\n"]


@pytest.mark.parametrize("value", ODD)
def test_a_text_stays_the_text_that_it_is(value: str) -> None:
    spec = Spec(track="kernel", variant="softmax", seq_len=64, params={"b": 2, "name": value, "z": [1, 2]})
    assert spec_of("kernel", as_asv_keeps(spec)) == spec


def test_a_closed_rate_is_read_back_as_its_grid() -> None:
    spec = Spec(track="task", variant="softmax", task="mnist", block="residual", num_layers=2, epochs=1, lr=0.003, lr_grid="0.001 0.003")
    assert spec_of("task", as_asv_keeps(spec)) == dataclasses.replace(spec, lr=None)


@pytest.mark.parametrize(
    ("track", "values"),
    [
        ("kernel", ()),
        ("kernel", ("softmax", "forward", False, 256)),
        ("kernel", ("softmax", "forward", False, 256, "an older setting")),
        ("kernel", ("softmax", "forward", False, 256, None)),
        ("kernel", ("softmax", "sideways", False, 256, SETTING)),
        ("kernel", ("softmax", "forward", False, "long", SETTING)),
        ("kernel", (3, "forward", False, 256, SETTING)),
        ("kernel", ("softmax", "forward", False, 256, f"{SETTING}, 3 epochs\n")),
        ("kernel", ("softmax", "forward", False, 256, f"{SETTING}, degree [1, 2")),
        ("task", ("softmax", "mnist", "residual", 2, 0, f"{SETTING}, 3 epochs, lr -1.0")),
        ("task", ("softmax", "mnist", "residual", 2, 0, f"{SETTING}, 3 epochs")),
    ],
)
def test_what_no_cell_has_is_none(track: str, values: tuple[Any, ...]) -> None:
    assert spec_of(track, values) is None
