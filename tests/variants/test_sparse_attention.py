"""entmax15 and sparsemax: against the package entmax, by hand, and with planted faults; kernels/test_threshold.py tests the kernel."""

from __future__ import annotations

import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

import attnbench
from helpers.mechanisms import attend, backward, draw, leaves, make, masks
from helpers.planted_faults import finding

names = pytest.mark.parametrize("name", ["entmax15", "sparsemax"])
causal_or_not = pytest.mark.parametrize("causal", [False, True])


@pytest.fixture(scope="module")
def package() -> ModuleType:
    module: ModuleType = pytest.importorskip("entmax", reason="the package entmax is not installed")
    return module


@pytest.mark.parametrize("seq_len", [1, 63, 100])
@pytest.mark.parametrize("size", [0.1, 1.0, 3.0])
@causal_or_not
@names
def test_values_and_gradients_are_those_of_the_package(name: str, causal: bool, size: float, seq_len: int, package: ModuleType) -> None:
    """Padding as well, where there are many tokens. Small scores leave every key in the support, large ones a few."""
    mask = masks(("right", "left", "holes"), "cpu") if seq_len == 63 else None
    drawn = {key: x.double() * size for key, x in draw(name, batch=3, seq_len=seq_len).items()}
    if mask is not None:
        mask = mask.repeat_interleave(6, 1)[:, :seq_len]
    one, other = leaves(drawn, torch.float64), leaves(drawn, torch.float64)
    visible = torch.ones(3, 1, seq_len, seq_len, dtype=torch.bool)
    if causal:
        visible = visible.tril()
    if mask is not None:
        visible = visible & ~mask[:, None, None, :] | mask[:, None, :, None]
    scores = (other["q"] @ other["k"].mT / math.sqrt(5)).masked_fill(~visible, -math.inf)
    expected = getattr(package, name)(scores, dim=-1) @ other["v"]
    if mask is not None:
        expected = expected.masked_fill(mask[:, None, :, None], 0.0)
    module = make(name)
    out = attend(module, one, causal, mask)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-11)
    found = backward(out, module, one)
    for key, wanted in backward(expected, module, other).items():
        torch.testing.assert_close(found[key], wanted, rtol=1e-8, atol=1e-10)


def column(*values: float) -> Tensor:
    return torch.tensor(values)[None, None, :, None]


def test_sparsemax_by_hand() -> None:
    """Scores 1, .5 and -2: the largest two, less .25, sum to one. Alone, or where the next is lower by one, the largest is all."""
    module = attnbench.build("sparsemax", 1, 1)
    q, k, v = column(1.0, 2.0, 0.0), column(1.0, 0.5, -2.0), column(4.0, 8.0, 40.0)
    torch.testing.assert_close(module(q, k, v).flatten(), torch.tensor([5.0, 4.0, 52 / 3]))
    torch.testing.assert_close(module(q, k, v, causal=True).flatten(), torch.tensor([4.0, 4.0, 52 / 3]))
    out = module(q, k, v, padding_mask=torch.tensor([[True, False, False]]))
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 8.0, 24.0]))


def test_entmax15_by_hand() -> None:
    """Half scores 0 and -1/5: x and x - 1/5 are 4/5 and 3/5, whose squares sum to one; a third of -4/5 or below has no weight."""
    module = attnbench.build("entmax15", 1, 1)
    q, k, v = column(1.0, 1.0, 0.0), column(0.0, -0.4, -2.0), column(1.0, 2.0, 300.0)
    torch.testing.assert_close(module(q, k, v).flatten(), torch.tensor([0.64 + 0.72, 0.64 + 0.72, 101.0]))
    torch.testing.assert_close(module(q, k, v, causal=True).flatten(), torch.tensor([1.0, 0.64 + 0.72, 101.0]))
    matrix = module.matrix(q, k)[0, 0, 0]
    torch.testing.assert_close(matrix, torch.tensor([0.64, 0.36, 0.0]))
    assert matrix[2] == 0.0


@names
def test_most_weights_are_zero_and_the_rest_sum_to_one(name: str) -> None:
    inputs = draw(name, seq_len=200, head_dim=16)
    matrix = make(name, head_dim=16).matrix(3 * inputs["q"], inputs["k"])
    assert (matrix >= 0.0).all() and 0.9 < float((matrix == 0.0).double().mean()) < 1.0
    torch.testing.assert_close(matrix.sum(-1), torch.ones_like(matrix[..., 0]))


FAULTS = [
    ("sparsemax", "POWER = 1", "POWER = 2", "matrix"),
    ("sparsemax", "(1 + count * ordered > ", "(0.5 + count * ordered > ", "matrix"),
    ("sparsemax", "sum(-1, keepdim=True) - 1) / size", "sum(-1, keepdim=True) - 1) / size.sqrt()", "matrix"),
    ("sparsemax", "POWER, causal, padding_mask))[0]", "POWER, False, padding_mask))[0]", "causal"),
    ("sparsemax", "        state = state.append(k, v)\n", "        state = state.append(k, 2 * v)\n", "decode"),
    ("entmax15", "POWER = 2", "POWER = 1", "matrix"),
    ("entmax15", "scores / 2", "scores / 3", "matrix"),
    ("entmax15", "<= ordered)", "<= ordered - 0.1)", "matrix"),
    ("entmax15", "POWER, causal, padding_mask))[0]", "POWER, causal, None))[0]", "padding_alone"),
    ("entmax15", "        q, k, v = hide_padding(padding_mask, q, k, v)\n", "", "padding"),
    ("entmax15", "threshold_step(q, state, POWER)", "threshold_step(2 * q, state, POWER)", "decode"),
]


@pytest.mark.parametrize(("name", "old", "new", "check"), FAULTS)
def test_a_planted_fault_is_found(name: str, old: str, new: str, check: str) -> None:
    assert finding(name, {old: new}, check).status == "failed"
