"""What `diagnose` says of stacks whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from attnbench.training import diagnose
from attnbench.training.model import Stack
from helpers.stacks import BATCH, D_MODEL, SEQ_LEN, architecture, recording


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "causal"), [("softmax", False), ("softmax", True), ("orthogonal", False), ("polynomial", True), ("linear_elu", True)]
)
def test_the_state_layer_by_layer_is_that_of_the_matrices_and_tokens_themselves(name: str, causal: bool) -> None:
    torch.manual_seed(0)
    stack = Stack(architecture(name, "residual", num_layers=3))
    tokens, mask = torch.randn(BATCH, SEQ_LEN, D_MODEL), torch.arange(SEQ_LEN) >= torch.tensor([SEQ_LEN, 7, 1])[:, None]
    found = diagnose.by_layer(stack, tokens, causal, mask)
    x = tokens
    for layer, block in enumerate(stack.blocks, 1):
        q, k, _ = block.attention.heads(block.norm_1(x))
        matrix = block.attention.attention.matrix(q, k, causal=causal, padding_mask=mask)
        assert found[f"attention_frobenius_layer_{layer}"] == pytest.approx(float(matrix.norm(dim=(-2, -1)).mean()), rel=1e-5)
        assert found[f"largest_frobenius_layer_{layer}"] == pytest.approx(float(matrix.norm(dim=(-2, -1)).max()), rel=1e-5)
        apart = (matrix.mT @ matrix - torch.eye(SEQ_LEN)).norm(dim=(-2, -1)).max()
        assert found[f"orthogonality_error_layer_{layer}"] == pytest.approx(float(apart), rel=1e-4, abs=1e-5)
        x = block(x, causal, mask)
        ranks = [diagnose.effective_rank(row[~hidden]) for row, hidden in zip(x, mask, strict=True)]
        assert found[f"effective_rank_layer_{layer}"] == pytest.approx(sum(ranks) / BATCH, rel=1e-5)
        assert ranks[2] == pytest.approx(1.0)  # a single token has no other rank
        kept = [row[~hidden] for row, hidden in zip(x, mask, strict=True)]
        residuals = [float((row - row.mean(0)).norm() / row.norm()) for row in kept]
        assert found[f"dong_residual_layer_{layer}"] == pytest.approx(sum(residuals) / BATCH, rel=1e-5)
        assert residuals[2] == 0.0  # and is its own mean
    assert len(found) == 15


class Linear(nn.Module):
    """A stack whose Jacobian is known: every entry of every token times its own factor."""

    def __init__(self, factors: Tensor) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factors


def test_the_condition_of_the_identity_is_one() -> None:
    assert diagnose.jacobian_condition(nn.Identity(), torch.randn(7, 5, dtype=torch.float64)) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (13, 11), (16, 16)])  # 143 rows are no multiple of the rows taken at once
def test_the_condition_of_a_diagonal_map_is_the_ratio_of_its_ends(shape: tuple[int, int]) -> None:
    factors = torch.linspace(0.5, 40.0, math.prod(shape), dtype=torch.float64).view(shape)
    expected = float(factors.max() / factors.min())
    assert diagnose.jacobian_condition(Linear(factors), torch.randn(shape, dtype=torch.float64)) == pytest.approx(expected)


def test_the_condition_of_a_nonlinear_map_is_taken_at_the_tokens() -> None:
    tokens = torch.tensor([[1.0, -2.0], [3.0, 10.0]], dtype=torch.float64)
    cube = Linear(torch.ones(2, 2, dtype=torch.float64))
    cube.forward = lambda x: x**3  # type: ignore[method-assign]
    assert diagnose.jacobian_condition(cube, tokens) == pytest.approx(100.0)  # 3 x^2: 300 over 3


@pytest.mark.parametrize("factor", [0.0, 1e-30, math.nan, math.inf])
def test_the_condition_saturates(factor: float) -> None:
    factors = torch.tensor([[1.0, factor]], dtype=torch.float64)
    assert diagnose.jacobian_condition(Linear(factors), torch.ones(1, 2, dtype=torch.float64)) == 1e15


@pytest.mark.parametrize(
    "of",
    [
        torch.zeros_like,  # no history at all
        lambda x: 0 * x,
        lambda x: x * torch.zeros((), dtype=x.dtype, requires_grad=True),
        lambda x: torch.ones_like(x) * torch.ones((), dtype=x.dtype, requires_grad=True),  # a history, and no input in it
        lambda x: x[..., :1] * 1e-305 + 0 * x,
    ],
)
def test_a_map_without_a_condition_is_saturated(of: Callable[[Tensor], Tensor]) -> None:
    assert diagnose.jacobian_condition(of, torch.ones(2, 2, dtype=torch.float64)) == 1e15


@pytest.mark.parametrize("factor", [1e-300, 1.0, 1e300])
def test_no_condition_is_below_one(factor: float) -> None:
    found = diagnose.jacobian_condition(Linear(torch.full((2, 2), factor, dtype=torch.float64)), torch.ones(2, 2, dtype=torch.float64))
    assert found == pytest.approx(1.0)
    assert found >= 1.0


def test_nothing_has_a_gradient_of_zero() -> None:
    assert diagnose.gradient_norm(nn.Linear(2, 1)) == 0.0
    assert diagnose.effective_rank(torch.zeros(3, 2)) == 1.0


def test_effective_rank_of_known_tokens() -> None:
    rank_one = torch.outer(torch.linspace(-3.0, 2.0, 11), torch.arange(1.0, 6.0))
    assert diagnose.effective_rank(rank_one) == pytest.approx(1.0, abs=1e-5)
    assert diagnose.effective_rank(7.0 * torch.eye(5)) == pytest.approx(5.0)
    weights = torch.tensor([0.75, 0.25])
    entropy = -float((weights * weights.log()).sum())
    assert diagnose.effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(math.exp(entropy))
    assert math.isnan(diagnose.effective_rank(torch.full((3, 2), math.nan)))


def test_the_residual_of_known_tokens() -> None:
    assert diagnose.dong_residual(torch.tensor([[3.0, -1.0]]).expand(5, 2)) == 0.0
    assert diagnose.dong_residual(torch.zeros(3, 2)) == diagnose.dong_residual(torch.zeros(0, 2)) == 0.0
    assert diagnose.dong_residual(torch.tensor([[1.0, 2.0], [-1.0, -2.0]])) == pytest.approx(1.0)
    assert diagnose.dong_residual(torch.tensor([[4.0, 0.0], [2.0, 0.0]])) == pytest.approx(math.sqrt(2 / 20))
    for size in (1e-300, 1e300):
        assert diagnose.dong_residual(size * torch.tensor([[1.0], [3.0]], dtype=torch.float64)) == pytest.approx(math.sqrt(2 / 10))
    assert math.isnan(diagnose.dong_residual(torch.full((3, 2), math.inf)))


def test_the_residual_takes_no_part_of_padding() -> None:
    """Whatever the block gives there: a stack of one identity block, whose padded token is far from the others."""
    stack = nn.Module()
    stack.blocks = nn.ModuleList([nn.Identity()])
    stack.forward = lambda x, causal, mask: stack.blocks[0](x)  # type: ignore[method-assign]
    tokens = torch.tensor([[[4.0], [2.0], [1e6]]])
    mask = torch.tensor([[False, False, True]])
    assert diagnose.by_layer(stack, tokens, False, mask)["dong_residual_layer_1"] == pytest.approx(math.sqrt(2 / 20))
    assert diagnose.by_layer(stack, tokens, False, None)["dong_residual_layer_1"] > 0.8


def test_attention_norms_of_a_known_stack() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(BATCH, SEQ_LEN, D_MODEL, dtype=torch.float64)
    norms = diagnose.attention_norms(Stack(architecture("orthogonal", "skipless")).double(), tokens)
    assert norms["attention_frobenius"] == pytest.approx([math.sqrt(SEQ_LEN)] * 2)
    assert norms["orthogonality_error"] == pytest.approx([0.0] * 2, abs=1e-10)
    assert diagnose.attention_norms(recording("skipless").double(), tokens) == {}
    stack = Stack(architecture("softmax", "residual")).double()
    norms = diagnose.attention_norms(stack, tokens)
    assert len(norms["attention_frobenius"]) == 2
    assert all(1.0 <= norm <= math.sqrt(SEQ_LEN) for norm in norms["attention_frobenius"])
    assert min(norms["orthogonality_error"]) > 1.0
    assert not any(module._forward_pre_hooks for module in stack.modules())


def test_gradient_norm_is_that_of_all_gradients_together() -> None:
    module = nn.Linear(2, 1, bias=True)
    module(torch.tensor([[2.0, 3.0]])).sum().backward()
    assert diagnose.gradient_norm(module) == pytest.approx(math.sqrt(4 + 9 + 1))
