"""Padding is ignored, and sequences and groups of heads do not meet: for every registered variant."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from helpers.mechanisms import (
    ALONE,
    GROUPS,
    VARIANTS,
    attend,
    backward,
    definition,
    device_of,
    draw,
    forms,
    gradient_error,
    leaves,
    make,
    masks,
    relative_error,
    select,
)


@forms
def test_float32_agrees_with_the_float64_definition_under_padding(name: str, causal: bool) -> None:
    mask = masks(("right", "left", "holes", "all", "none"), device_of(name))
    module = make(name)
    exact = copy.deepcopy(module).double()
    drawn = draw(name, batch=len(mask))
    single, double = leaves(drawn, torch.float32), leaves(drawn, torch.float64)
    out = attend(module, single, causal, mask)
    expected = definition(name, exact, double, causal, mask)
    assert relative_error(out, expected) < 1e-4
    wanted = backward(expected, exact, double)
    for key, gradient in backward(out, module, single).items():
        assert gradient_error(gradient, wanted[key], wanted) < 1e-4, key


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@forms
def test_padding_is_ignored_whatever_it_holds(name: str, causal: bool, poison: float) -> None:
    mask = masks(("right", "left", "holes", "all", "none"), device_of(name))
    module, clean = make(name), draw(name, batch=len(mask))
    dirty = {key: x.masked_fill(mask[:, :, None] if key == "hidden" else mask[:, None, :, None], poison) for key, x in clean.items()}
    clean, dirty = leaves(clean, torch.float32), leaves(dirty, torch.float32)
    expected, out = attend(module, clean, causal, mask), attend(module, dirty, causal, mask)
    assert (out.masked_select(mask[:, None, :, None]) == 0.0).all()
    # Not all of them: a causal relu leaves the first row zero where its one score is negative.
    assert (out.masked_select(~mask[:, None, :, None]) != 0.0).float().mean() > 0.5
    assert torch.equal(out, expected)
    wanted = backward(expected, module, clean)
    for key, gradient in backward(out, module, dirty).items():
        assert gradient.isfinite().all(), key
        assert torch.equal(gradient, wanted[key]), key


@forms
def test_a_padded_sequence_is_the_unpadded_one_run_alone(name: str, causal: bool) -> None:
    mask = masks((*ALONE, "all"), device_of(name))
    module, inputs = make(name), draw(name, batch=len(mask))
    out = attend(module, inputs, causal, mask)
    for row, kind in enumerate(ALONE):
        alone = attend(module, select(inputs, slice(row, row + 1), ~mask[row]), causal)
        assert relative_error(out[row, :, ~mask[row]], alone[0]) < 1e-5, kind
    assert (out[-1] == 0.0).all()


@forms
def test_a_mask_without_padding_changes_nothing(name: str, causal: bool) -> None:
    module, inputs = make(name), draw(name)
    masked = attend(module, inputs, causal, masks(("none", "none"), device_of(name)))
    assert relative_error(masked, attend(module, inputs, causal)) < 1e-6


@forms
def test_sequences_of_a_batch_do_not_meet(name: str, causal: bool) -> None:
    module, inputs = make(name), draw(name, batch=3)
    out = attend(module, inputs, causal)
    for row in range(3):
        alone = attend(module, select(inputs, slice(row, row + 1)), causal)
        assert relative_error(out[row], alone[0]) < 1e-5


@pytest.mark.parametrize("disturbance", [30.0, math.nan, math.inf])
@forms
def test_a_sequence_survives_what_its_neighbour_holds(name: str, causal: bool, disturbance: float) -> None:
    module = make(name)
    inputs = {key: 3.0 * x for key, x in draw(name).items()}
    disturbed = {key: x.clone() for key, x in inputs.items()}
    for x in disturbed.values():
        x[0] *= disturbance
    assert relative_error(attend(module, disturbed, causal)[1], attend(module, inputs, causal)[1]) < 1e-5


@forms
def test_groups_of_heads_do_not_meet(name: str, causal: bool) -> None:
    module, inputs = make(name), draw(name)
    out, group = attend(module, inputs, causal), VARIANTS[name].head_group
    for changed_group in range(GROUPS):
        changed = {key: x.clone() for key, x in inputs.items()}
        heads = slice(changed_group * group, (changed_group + 1) * group)
        for key in "qkv":
            changed[key][:, heads] = 2.0 - changed[key][:, heads]
        after = attend(module, changed, causal)
        others = [head for head in range(GROUPS * group) if head not in range(heads.start, heads.stop)]
        assert relative_error(after[:, others], out[:, others]) < 1e-5
        assert relative_error(after[:, heads], out[:, heads]) > 1e-2


@forms
def test_rows_sum_to_one_exactly_where_declared(name: str, causal: bool) -> None:
    module, inputs = make(name).double(), {key: x.double() for key, x in draw(name).items()}
    hold = []
    for kind in ("right", "left", "holes", "none"):
        mask = masks((kind, kind), device_of(name))
        sums = attend(module, {**inputs, "v": torch.ones_like(inputs["v"])}, causal, mask)[:, :, ~mask[0]]
        hold.append(bool(((sums - 1.0).abs() < 1e-9).all()))
    assert all(hold) == VARIANTS[name].normalises_rows
