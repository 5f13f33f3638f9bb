"""Orthogonal self-attention against the dense float64 exponential, and its orthogonality."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench.errors import BadInput
from helpers.orthogonal_forms import draw, orthogonality_error

LENGTHS, HEAD_DIMS, ALPHAS = (1, 7, 63, 129), (8, 17, 64), (None, 0.1, 1.0)
SIZES = [(seq_len, head_dim, alpha) for seq_len in LENGTHS for head_dim in HEAD_DIMS for alpha in ALPHAS]
# Long and of a large norm, with many doublings; the dense exponential of 1,000 tokens takes seconds, so that one such case must do.
LONG = (1000, 64, 1.0)
sizes = pytest.mark.parametrize(("seq_len", "head_dim", "alpha"), [*SIZES, pytest.param(*LONG, marks=pytest.mark.long)])


def build(num_heads: int, head_dim: int, alpha: float | None = None, seq_len: int | None = None) -> nn.Module:
    return attnbench.build("orthogonal", num_heads, head_dim, seq_len=seq_len, alpha=alpha)


def dense(alpha: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """exp(S), S_ij = alpha (q_i . k_j - k_i . q_j) / sqrt(d): the definition, computed here and nowhere else."""
    products = torch.einsum("bhid,bhjd->bhij", q, k)
    return torch.linalg.matrix_exp(alpha[:, None, None] / math.sqrt(q.shape[-1]) * (products - products.transpose(-1, -2)))


def gradients(out: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    upstream = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9)).to(out.dtype)
    return torch.autograd.grad(out, inputs, upstream)


@sizes
def test_values_and_gradients_are_those_of_the_dense_exponential(seq_len: int, head_dim: int, alpha: float | None) -> None:
    module = build(1, head_dim, alpha, seq_len)
    single = tuple(x.requires_grad_() for x in draw(1, seq_len, head_dim))
    double = tuple(x.detach().double().requires_grad_() for x in single)
    alpha64 = module.alpha.detach().double().requires_grad_()
    out = module(*single)
    exact = dense(alpha64, *double[:2]) @ double[2]
    assert float((out - exact).detach().norm()) <= 1e-4 * float(exact.detach().norm())
    wanted = gradients(exact, (*double, alpha64))
    for name, actual, expected in zip("qkva", gradients(out, (*single, module.alpha)), wanted, strict=True):
        # At seq_len 1 S is zero whatever q, k and alpha are, so that their exact gradients are: the error counts absolutely there.
        scale = 1.0 if seq_len == 1 and name != "v" else float(expected.norm())
        assert scale > 1e-3
        assert float((actual - expected).norm()) <= 1e-4 * scale, name


@sizes
def test_the_matrix_is_orthogonal(seq_len: int, head_dim: int, alpha: float | None) -> None:
    q, k, _ = draw(2, seq_len, head_dim, seed=1)
    assert orthogonality_error(build(2, head_dim, alpha, seq_len).matrix(q, k)) <= 1e-4


@pytest.mark.parametrize("head_dim", [16, 64])
@pytest.mark.parametrize("seq_len", [63, 257, 1000])
def test_large_inputs_stay_orthogonal(seq_len: int, head_dim: int) -> None:
    q, k, _ = draw(2, seq_len, head_dim, seed=2)
    assert orthogonality_error(build(2, head_dim, 1.0).matrix(8.0 * q, 8.0 * k)) <= 1e-4


@pytest.mark.parametrize("seq_len", [63, 257])
def test_norms_of_values_are_kept(seq_len: int) -> None:
    q, k, v = draw(3, seq_len, 17, batch=2)
    out = build(3, 17, 1.0)(q, k, v)
    torch.testing.assert_close(out.norm(dim=-2), v.norm(dim=-2), rtol=1e-4, atol=0.0)
    assert float((out - v).detach().norm() / v.norm()) > 0.5  # and it is no identity


def test_the_determinant_is_one() -> None:
    q, k, _ = draw(3, 13, 5)
    determinant = torch.linalg.det(build(3, 5, 1.0).double().matrix(q.double(), k.double()))
    torch.testing.assert_close(determinant, torch.ones(1, 3, dtype=torch.float64))


def test_two_tokens_by_hand() -> None:
    """head_dim 1: S = alpha (q_0 k_1 - k_0 q_1) [[0, 1], [-1, 0]], a rotation by that angle."""
    q, k, v = (torch.tensor(x)[None, None] for x in ([[1.0], [2.0]], [[3.0], [5.0]], [[1.0], [10.0]]))
    angle = 0.7 * (1.0 * 5.0 - 3.0 * 2.0)
    cosine, sine = math.cos(angle), math.sin(angle)
    expected = torch.tensor([[cosine + 10.0 * sine], [-sine + 10.0 * cosine]])
    torch.testing.assert_close(build(1, 1, 0.7)(q, k, v)[0, 0], expected, rtol=1e-5, atol=1e-5)


def test_queries_and_keys_swapped_invert_it() -> None:
    q, k, v = (x.double() for x in draw(3, 13, 5))
    module = build(3, 5, 1.0).double()
    torch.testing.assert_close(module(k, q, module(q, k, v)), v)


def test_dependent_queries_and_keys_do_no_harm() -> None:
    """The rank of [Q, K] is one, and its Gram matrix singular."""
    q, _, v = (x.double() for x in draw(2, 29, 7))
    q = q[..., :1].expand_as(q)
    k = torch.linspace(-1.0, 1.0, 29, dtype=torch.float64)[None, None, :, None].expand_as(q)
    alpha = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(build(2, 7, 1.0).double()(q, k, v), dense(alpha, q, k) @ v)
    torch.testing.assert_close(build(2, 7, 1.0).double()(q, q, v), v)


def test_alpha_is_the_first_parameter_one_a_head() -> None:
    name, first = next(iter(build(5, 8).named_parameters()))
    assert name == "alpha" and first.shape == (5,)


@pytest.mark.parametrize("alpha", [0.0, -0.3, 0.25, 2])
def test_a_given_alpha_is_used_as_it_is(alpha: float) -> None:
    module = build(3, 8, alpha)
    assert torch.equal(module.alpha.detach(), torch.full((3,), float(alpha)))
    q, k, v = (x.double() for x in draw(3, 13, 8))
    torch.testing.assert_close(module.double()(q, k, v), dense(module.alpha, q, k) @ v)


def test_every_head_has_its_own_alpha() -> None:
    module = build(3, 8).double()
    with torch.no_grad():
        module.alpha.copy_(torch.tensor([0.0, 0.5, -1.0]))
    q, k, v = (x.double() for x in draw(3, 13, 8))
    out = module(q, k, v)
    torch.testing.assert_close(out, dense(module.alpha, q, k) @ v)
    assert torch.equal(out[:, 0], v[:, 0])


def test_alpha_zero_is_the_identity() -> None:
    q, k, v = draw(2, 13, 8)
    module = build(2, 8, 0.0)
    assert torch.equal(module(q, k, v), v)
    assert torch.equal(module.matrix(q, k)[0, 1], torch.eye(13))


@pytest.mark.parametrize("alpha", ["large", [0.1], math.nan], ids=repr)
def test_a_bad_alpha_is_refused(alpha: object) -> None:
    with pytest.raises(BadInput, match="alpha"):
        attnbench.build("orthogonal", 2, 8, alpha=alpha)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, 1, 2], ids=["q", "k", "v"])
def test_input_that_is_not_finite_raises_nothing_and_shows(where: int, poison: float) -> None:
    inputs = draw(2, 13, 8)
    inputs[where][0, 1, 3, 2] = poison
    out = build(2, 8, 1.0)(*inputs)
    assert not out[0, 1].isfinite().all()
    out.sum().backward()


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_input_that_is_not_finite_leaves_other_sequences_and_heads_alone(poison: float) -> None:
    """At alpha 1 the norm is above one, where the series alone would be wrong."""
    q, k, v = draw(2, 63, 8, batch=3)
    module = build(2, 8, 1.0)
    expected = module(q, k, v)
    q[0, 0, 5, 3] = poison
    out = module(q, k, v)
    torch.testing.assert_close(out[1:], expected[1:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out[0, 1], expected[0, 1], rtol=1e-4, atol=1e-4)
