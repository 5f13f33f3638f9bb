"""The other orthogonal forms (QR, Newton-Schulz, Cayley) against dense float64 definitions, at every rank of [Q, K]."""

from __future__ import annotations

import math

import pytest
import torch

import attnbench
from attnbench.errors import BadInput, Unsupported
from attnbench.kernels import basis
from helpers.orthogonal_forms import FORMS, alphas, build, by_basis, dense, dims, draw, errors, names, orthogonality_error, sizes


@alphas
@dims
@sizes
@names
def test_values_and_gradients_are_those_of_the_dense_definition(name: str, seq_len: int, head_dim: int, alpha: float | None) -> None:
    found = errors(name, build(name, 2, head_dim, alpha, seq_len), draw(2, seq_len, head_dim))
    assert max(found.values()) <= 1e-5, found


@pytest.mark.parametrize("alpha", [0.1, 1.0])
@by_basis
def test_the_exponential_of_devices_that_read_nothing_back(name: str, alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basis, "exponential_of", basis.exponential_by_phi1)
    found = errors(name, build(name, 2, 8, alpha, 63), draw(2, 63, 8))
    assert max(found.values()) <= 1e-5, found


@alphas
@dims
@sizes
@names
def test_the_matrix_is_orthogonal(name: str, seq_len: int, head_dim: int, alpha: float | None) -> None:
    q, k, _ = draw(2, seq_len, head_dim, seed=1)
    assert orthogonality_error(build(name, 2, head_dim, alpha, seq_len).matrix(q, k)) <= 5e-5


@pytest.mark.parametrize("seq_len", [63, 257])
@names
def test_large_inputs_stay_orthogonal(name: str, seq_len: int) -> None:
    q, k, _ = draw(2, seq_len, 16, seed=2)
    assert orthogonality_error(build(name, 2, 16).matrix(8.0 * q, 8.0 * k)) <= 5e-5


@pytest.mark.parametrize("name", ["orthogonal", *FORMS])
def test_two_tokens_by_hand(name: str) -> None:
    """head_dim 1: S = theta [[0, 1], [-1, 0]]; exp(S) turns by theta, the Cayley transform by 2 atan(theta / 2)."""
    q, k, v = (torch.tensor(x)[None, None] for x in ([[1.0], [2.0]], [[3.0], [5.0]], [[1.0], [10.0]]))
    theta = 0.7 * (1.0 * 5.0 - 3.0 * 2.0)
    angle = 2.0 * math.atan(theta / 2.0) if name == "orthogonal_cayley" else theta
    expected = torch.tensor([[math.cos(angle) + 10.0 * math.sin(angle)], [-math.sin(angle) + 10.0 * math.cos(angle)]])
    torch.testing.assert_close(build(name, 1, 1, 0.7)(q, k, v)[0, 0], expected, rtol=1e-5, atol=1e-5)


def test_cayley_is_the_exponential_to_second_order() -> None:
    """exp(S) - A = -S^3 / 12 + ..., so that half the alpha leaves an eighth of the difference."""
    q, k, v = (x.double() for x in draw(2, 29, 5))
    gaps = []
    for alpha in (2e-3, 1e-3):
        exact, cayley = (build(name, 2, 5, alpha).double()(q, k, v) for name in ("orthogonal", "orthogonal_cayley"))
        gaps.append(float((exact - cayley).detach().norm()))
    assert gaps[1] > 0.0
    assert 7.8 < gaps[0] / gaps[1] < 8.2


@names
def test_padded_rows_are_left_alone_by_the_matrix(name: str) -> None:
    q, k, _ = draw(2, 13, 5)
    mask = torch.zeros(1, 13, dtype=torch.bool)
    mask[0, [0, 4, 12]] = True
    matrix = build(name, 2, 5).matrix(q, k, padding_mask=mask)
    torch.testing.assert_close(matrix[:, :, mask[0]], torch.eye(13)[mask[0]].expand(1, 2, -1, -1), rtol=0.0, atol=1e-6)
    assert orthogonality_error(matrix) <= 1e-5


@names
def test_alpha_is_used_as_it_is_and_is_each_heads_own(name: str) -> None:
    module = build(name, 3, 8).double()
    key, first = next(iter(module.named_parameters()))
    assert key == "alpha" and first.shape == (3,)
    with torch.no_grad():
        module.alpha.copy_(torch.tensor([0.0, 0.5, -1.0]))
    q, k, v = (x.double() for x in draw(3, 13, 8))
    out = module(q, k, v)
    torch.testing.assert_close(out, dense(name, module.alpha, q, k) @ v)
    assert torch.equal(out[:, 0], v[:, 0])


@names
def test_it_starts_as_orthogonal_does(name: str) -> None:
    """The same initial alpha, and projections that are jointly orthonormal per head."""
    for seq_len in (None, 49):
        assert torch.equal(build(name, 3, 5, None, seq_len).alpha, build("orthogonal", 3, 5, None, seq_len).alpha)
    weights = [torch.full((15, 15), math.nan) for _ in range(4)]
    build(name, 3, 5).init_projections(*weights)
    for rows in (slice(0, 5), slice(5, 10), slice(10, 15)):
        joint = torch.cat([weights[0][rows], weights[1][rows]])
        torch.testing.assert_close(joint @ joint.mT, torch.eye(10), rtol=0.0, atol=1e-5)
    for weight in weights[2:]:
        torch.testing.assert_close(weight @ weight.mT, torch.eye(15), rtol=0.0, atol=1e-5)


@names
def test_what_it_cannot_do_is_refused_by_name(name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        build(name, 2, 5)(*draw(2, 3, 5), causal=True)
    for alpha in ("large", [0.1], math.nan, True):
        with pytest.raises(BadInput, match="alpha"):
            attnbench.build(name, 2, 5, alpha=alpha)


@by_basis
def test_a_second_derivative_is_refused_not_wrong(name: str) -> None:
    q, k, v = (x.requires_grad_() for x in draw(2, 13, 5))
    (gradient,) = torch.autograd.grad(build(name, 2, 5)(q, k, v).square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@names
def test_the_derivative_by_values_can_be_differentiated_by_queries(name: str) -> None:
    """It is A^T times the upstream gradient, and first order in U."""
    q, k, v = (x.double().requires_grad_() for x in draw(2, 29, 5))
    module = build(name, 2, 5, 0.3).double()
    mixed = []
    for out in (module(q, k, v), dense(name, module.alpha, q, k) @ v):
        (first,) = torch.autograd.grad((out * out.detach().cos()).sum(), v, create_graph=True)
        mixed.append(torch.autograd.grad((first * v.detach().sin()).sum(), q)[0])
    assert float(mixed[1].norm()) > 0.1
    torch.testing.assert_close(*mixed)


@by_basis
def test_asking_for_gradients_does_not_change_the_values(name: str) -> None:
    q, k, v = draw(2, 63, 8)
    module = build(name, 2, 8)
    torch.testing.assert_close(module(q.requires_grad_(), k, v).detach(), module(q.detach(), k, v).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
@names
def test_input_that_is_not_finite_raises_nothing_shows_and_stays_where_it_is(name: str, poison: float) -> None:
    """At alpha 1 the norm of S is large, and the other heads need their float64."""
    q, k, v = draw(2, 63, 8, batch=2)
    module = build(name, 2, 8)
    expected = module(q, k, v).detach()
    q[0, 0, 5, 3] = poison
    out = module(q.requires_grad_(), k, v)
    assert not out[0, 0].isfinite().all()
    torch.testing.assert_close(out[1].detach(), expected[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out[0, 1].detach(), expected[0, 1], rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(out[1].sum(), q)
    assert gradient[1].isfinite().all()
