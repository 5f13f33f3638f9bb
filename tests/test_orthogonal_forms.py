"""The other orthogonal forms (QR, Newton-Schulz, Cayley) against dense float64 definitions, at every rank of [Q, K]."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench.construct import load_variant
from attnbench.errors import BadInput, Unsupported
from attnbench.kernels import basis
from attnbench.variants.orthogonal_newton_schulz import polar_factor

FORMS = ("orthogonal_qr", "orthogonal_newton_schulz", "orthogonal_cayley")
names = pytest.mark.parametrize("name", FORMS)
by_basis = pytest.mark.parametrize("name", FORMS[:2])
sizes = pytest.mark.parametrize("seq_len", [1, 7, 63, 129])
dims = pytest.mark.parametrize("head_dim", [8, 17])
alphas = pytest.mark.parametrize("alpha", [None, 0.1, 1.0], ids=lambda alpha: f"alpha {alpha or 'initial'}")

Triple = tuple[Tensor, Tensor, Tensor]


def draw(heads: int, seq_len: int, head_dim: int, batch: int = 1, seed: int = 0) -> Triple:
    q, k, v = torch.randn(3, batch, heads, seq_len, head_dim, generator=torch.Generator().manual_seed(seed))
    return q, k, v


def build(name: str, num_heads: int, head_dim: int, alpha: float | None = 1.0, seq_len: int | None = None) -> nn.Module:
    return attnbench.build(name, num_heads, head_dim, seq_len=seq_len, alpha=alpha)


def dense(name: str, alpha: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """exp(S) or the Cayley transform of S, S_ij = alpha (q_i . k_j - k_i . q_j) / sqrt(d), computed here and nowhere else."""
    products = torch.einsum("bhid,bhjd->bhij", q, k)
    s = alpha[:, None, None] / math.sqrt(q.shape[-1]) * (products - products.transpose(-1, -2))
    identity = torch.eye(s.shape[-1], dtype=s.dtype)
    return torch.linalg.inv(identity - s / 2) @ (identity + s / 2) if name == "orthogonal_cayley" else torch.linalg.matrix_exp(s)


def errors(name: str, module: nn.Module, inputs: Triple) -> dict[str, float]:
    """Of the output and all gradients against the dense float64 definition, relative; absolute where the exact norm is below one."""
    single = tuple(x.detach().requires_grad_() for x in inputs)
    double = tuple(x.detach().double().requires_grad_() for x in inputs)
    alpha = module.get_parameter("alpha").detach().double().requires_grad_()
    out, exact = module(*single), dense(name, alpha, *double[:2]) @ double[2]
    upstream = torch.randn(exact.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    actual = [out, *torch.autograd.grad(out, [*single, module.get_parameter("alpha")], upstream.to(out.dtype))]
    wanted = [exact, *torch.autograd.grad(exact, [*double, alpha], upstream)]
    pairs = zip(("out", "q", "k", "v", "alpha"), actual, wanted, strict=True)
    return {key: float((a - w).detach().norm() / w.detach().norm().clamp_min(1.0)) for key, a, w in pairs}


def orthogonality_error(matrix: Tensor) -> float:
    """Largest ||A^T A - I||_F of the heads, the product taken in float64."""
    matrix = matrix.detach().double()
    return float(torch.linalg.matrix_norm(matrix.mT @ matrix - torch.eye(matrix.shape[-1], dtype=torch.float64)).max())


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
    monkeypatch.setattr(basis, "exponential_of", basis.without_reading)
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


def deficient(kind: str, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys whose [Q, K] lacks rank, or nearly so."""
    q, k = q.clone(), k.clone()
    if kind == "keys are queries":
        k = q.clone()
    elif kind == "columns twice":
        k[..., :3] = q[..., :3]
    elif kind == "zero rows":
        q[..., ::3, :] = k[..., ::3, :] = 0.0
    elif kind == "zero columns":
        q[..., 1] = k[..., 2:] = 0.0
    elif kind == "all zero":
        q, k = torch.zeros_like(q), torch.zeros_like(k)
    elif kind == "rank two":
        q, k = q[..., :1] * k[..., :1, :], k[..., :1] * q[..., :1, :]
    else:
        scales = torch.logspace(0, {"condition 1e6": -6, "condition 1e12": -12}[kind], q.shape[-1], dtype=q.dtype)
        q, k = q * scales, k * scales.flip(0)
    return q, k


KINDS = ("keys are queries", "columns twice", "zero rows", "zero columns", "all zero", "rank two", "condition 1e6", "condition 1e12")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seq_len", [5, 29])
@names
def test_rank_does_not_matter(name: str, seq_len: int, kind: str) -> None:
    """Neither to the values nor to the gradients: a change of U may leave its span. Both dtypes; seq_len 5 is below 2 head_dim."""
    q, k, v = draw(2, seq_len, 7, seed=3)
    q, k = deficient(kind, q, k)
    for dtype, allowed in ((torch.float32, 5e-5), (torch.float64, 1e-12)):
        found = errors(name, build(name, 2, 7, 0.3).to(dtype), (q.to(dtype), k.to(dtype), v.to(dtype)))
        assert max(found.values()) <= allowed, (dtype, found)


def test_newton_schulz_finds_the_polar_factor() -> None:
    """Every singular value but zero becomes one, and the singular vectors stay."""
    tall = torch.randn(2, 3, 40, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for u in (tall, tall.mT.contiguous(), 1e6 * tall, 1e-6 * tall):
        left, _, right = torch.linalg.svd(u, full_matrices=False)
        torch.testing.assert_close(polar_factor(u), left @ right, rtol=1e-10, atol=1e-10)
    lacking = torch.cat([tall[..., :3], tall[..., :3], torch.zeros_like(tall[..., :2])], dim=-1)
    left, singular, right = torch.linalg.svd(lacking, full_matrices=False)
    assert bool((singular[..., 3:] < 1e-12).all())
    torch.testing.assert_close(polar_factor(lacking), left[..., :3] @ right[..., :3, :], rtol=1e-10, atol=1e-10)
    assert not polar_factor(torch.zeros_like(tall)).any()


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


@pytest.mark.timeout(100)
@names
def test_wide_heads_and_long_sequences_come_to_an_end(name: str) -> None:
    """With two threads torch's batched LU never returned from matrices of 192 rows, nor from the dense definition's."""
    module, inputs = build(name, 2, 96, None, 200), draw(2, 200, 96)
    reference = load_variant(name).reference
    assert reference is not None
    matrix = reference(copy.deepcopy(module).double(), *(x.double() for x in inputs[:2]), False, None)
    out = module(*(x.requires_grad_() for x in inputs))
    out.sum().backward()
    torch.testing.assert_close(out.double(), matrix @ inputs[2].double(), rtol=1e-4, atol=1e-4)


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
