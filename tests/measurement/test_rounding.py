"""What rounding may do to a result: jumps at kinks, and samples of what a computation in float32 loses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch

from attnbench.errors import Incorrect
from attnbench.measurement.verify.closeness import Result, compare
from attnbench.measurement.verify.jumps import jumps
from attnbench.measurement.verify.rounding import RandomRounding, Rounding

UNIT = torch.finfo(torch.float32).eps


def rounding(seed: int = 0) -> RandomRounding:
    return RandomRounding(torch.Generator().manual_seed(seed))


def test_a_kink_is_no_error_and_a_smooth_function_has_none() -> None:
    x = torch.tensor([1.0, 1e-9, -1.0], dtype=torch.float64)

    def gradients(by: float, generator: torch.Generator) -> list[torch.Tensor]:
        moved = x + by * torch.randn(3, generator=generator, dtype=torch.float64)
        return [(moved > 0).double(), moved**2]

    kinked, smooth = jumps(gradients, gradients(0.0, torch.Generator()), torch.device("cpu"))
    assert kinked.tolist() == [0.0, 1.0, 0.0]
    assert float(smooth.max()) < 1e-8
    exact = torch.tensor([[1.0, 1.0, 0.0]])
    other = Result("the gradient by q", torch.tensor([[1.0, 0.0, 0.0]]), exact.double(), exact, scale=1.0)
    assert compare([other], torch.float32, 1, [[Rounding(kinked[None])]]).samples["error"][0] > 0.5
    with pytest.raises(Incorrect):
        compare([other], torch.float32, 1, [[Rounding(0 * kinked[None])]])


def test_every_operation_is_rounded_by_up_to_half_a_unit_of_float32() -> None:
    x = torch.rand(1000, dtype=torch.float64) + 1.0
    with rounding():
        found = x * 1.0
    off = (found / x - 1.0).abs()
    assert 0.5 * UNIT < float(off.max()) < UNIT * (1 + UNIT)  # its operand and its result


def test_a_difference_of_like_numbers_is_rounded_on_the_scale_of_those() -> None:
    x, y = torch.full((1000,), 1.0, dtype=torch.float64), torch.full((1000,), 1.0 - 1e-6, dtype=torch.float64)
    with rounding():
        found = x - y
    assert 0.5 * UNIT < float((found - 1e-6).abs().max()) < 1.5 * UNIT


def test_the_gradient_of_a_weight_that_is_one_by_division_is_rounded() -> None:
    """s^2 / s^2 is 1 whatever s is; its gradient by s is a difference of two terms of 2 / s."""
    s = torch.full((100, 1), 1e-3, dtype=torch.float64, requires_grad=True)
    with rounding():
        weight = s**2 / (s**2).sum(-1, keepdim=True)
        (gradient,) = torch.autograd.grad(weight.sum(), s)
    assert 0.1 * UNIT < float(gradient.abs().median()) * 1e-3 / 2 < 5 * UNIT


def test_samples_differ_and_are_the_same_for_a_seed() -> None:
    x = torch.rand(8, 8, dtype=torch.float64)
    found = []
    for seed in (0, 1, 0):
        with rounding(seed):
            found.append(x @ x)
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])


def test_views_counts_comparisons_and_zeros_are_exact_and_writing_in_place_writes_there() -> None:
    x = torch.rand(4, 4, dtype=torch.float64).masked_fill(torch.eye(4, dtype=torch.bool), 0.0)
    y = x.clone()
    with rounding():
        view, count, same = x.mT[1:].mT, torch.ones(4, dtype=torch.bool).sum().double(), x == x
        zeros, z = (x * 3.0).diagonal(), y.add_(1.0)
    assert torch.equal(view, x[:, 1:])
    assert count.item() == 4.0
    assert same.all()
    assert torch.equal(zeros, torch.zeros(4, dtype=torch.float64))
    assert z is y
    assert 0.0 < float((y - x - 1.0).abs().max()) < UNIT


def test_the_most_of_the_samples_is_what_a_row_may_lose_a_multiple_of() -> None:
    exact = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    result = Result("the gradient by q", exact.float() + torch.tensor([[0.0], [3e-5]]), exact, exact.float(), scale=1.0)
    zero, loss = torch.zeros_like(exact), torch.tensor([[0.0], [1e-5]], dtype=torch.float64)
    assert compare([result], torch.float32, 2, [[Rounding(zero)], [Rounding(zero, [zero, loss])]]).samples["error_share"][0] <= 1.0
    for losses in ([], [zero], [loss / 10]):
        with pytest.raises(Incorrect, match="the gradient by q"):
            compare([result], torch.float32, 2, [[Rounding(zero, losses)]])


def test_no_more_samples_are_taken_than_are_needed() -> None:
    exact, taken = torch.ones(64, 1, dtype=torch.float64), list[int]()
    loss = torch.zeros_like(exact)
    loss[0] = 1e-5

    def samples() -> Iterator[list[Rounding]]:
        for i in range(3):
            taken.append(i)
            yield [Rounding(0 * exact, [loss] * i)]

    def judged(error: float, rows: int) -> list[int]:
        """The samples that were taken."""
        found = exact.clone()
        found[:rows] += error
        taken.clear()
        with suppress(Incorrect):
            compare([Result("the output", found.float(), exact, exact.float())], torch.float32, 64, samples())
        return list(taken)

    assert judged(0.0, 1) == []
    assert judged(3e-5, 1) == [0, 1]
    assert judged(1.0, 1) == [0, 1, 2]
    assert judged(1.0, 2) == [0]  # what is wrong in many rows is no chance
