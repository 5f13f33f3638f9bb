"""Inputs of timed calls: their contents cannot be had from those of earlier calls, and can be made again."""

from __future__ import annotations

import torch

from attnbench.measurement.inputs import DrawnInputs, RolledInputs, Sequel
from attnbench.training.model import unit_rms


def test_no_token_of_a_call_is_one_of_another_call() -> None:
    inputs = RolledInputs([torch.randn(2, 3, 31, 8), torch.randn(2, 31, 24)])
    seen = [inputs.copies() for _ in range(6) if inputs.refresh() is None]
    for one, *others in zip(*seen, strict=True):
        for other in others:
            assert float(torch.cdist(one.flatten(0, -2), other.flatten(0, -2)).min()) > 1e-3


def test_products_of_queries_and_keys_are_no_rearrangement_of_earlier_ones() -> None:
    inputs = RolledInputs([torch.randn(1, 1, 31, 8) for _ in range(2)])
    q, k = inputs.copies()
    before = (q @ k.mT).flatten().sort().values
    inputs.refresh()
    q, k = inputs.copies()
    assert not torch.allclose((q @ k.mT).flatten().sort().values, before, rtol=1e-2)


def test_contents_keep_their_variance_and_their_addresses_and_are_made_again_exactly() -> None:
    inputs = RolledInputs([torch.randn(4, 257, 16)], requires_grad=True)
    for _ in range(8):
        address = inputs.tensors[0].data_ptr()
        inputs.refresh()
        (tensor,), (copy,) = inputs.tensors, inputs.copies()
        assert tensor.data_ptr() == address and torch.equal(tensor, copy) and copy.requires_grad
        assert abs(float(tensor.detach().std()) - 1) < 0.05
    with torch.no_grad():
        tensor[0, 5, 3] += 1
    assert not inputs.are_intact()


def test_what_finishes_the_contents_is_applied_to_each() -> None:
    inputs = RolledInputs([torch.randn(2, 13, 8)], finish=unit_rms)
    inputs.refresh()
    torch.testing.assert_close(inputs.tensors[0].square().mean(-1), torch.ones(2, 13))
    assert inputs.are_intact()


def test_tensors_too_small_to_roll_in_many_ways_are_rolled_all_the_same() -> None:
    for shape in ((1, 1), (1, 2), (5, 1)):
        inputs = RolledInputs([torch.randn(2, *shape) for _ in range(3)])
        inputs.refresh()
        assert inputs.are_intact()


def test_drawn_inputs_are_new_whatever_is_seeded_and_are_made_again_exactly() -> None:
    inputs = DrawnInputs([torch.empty(1, 2, 1, 8) for _ in range(3)])
    seen = []
    for _ in range(3):
        torch.manual_seed(0)
        inputs.refresh()
        seen.append(torch.cat(inputs.copies()))
        assert inputs.are_intact()
    assert not torch.allclose(seen[0], seen[1]) and not torch.allclose(seen[1], seen[2])
    inputs.tensors[1].zero_()
    assert not inputs.are_intact()


def test_a_sequel_gives_the_calls_own_inputs_first() -> None:
    own, other = (DrawnInputs([torch.empty(1, 3)]) for _ in range(2))
    both = Sequel(own, [other])
    both.refresh()
    assert all(torch.equal(x, y) for x, y in zip(both.copies(), [*own.tensors, *other.tensors], strict=True))
    other.tensors[0].zero_()
    assert not both.are_intact()
