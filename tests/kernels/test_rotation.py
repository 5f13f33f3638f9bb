"""exp(S) V by its small matrices: the polynomials, both ways to phi1, and both ways through the tokens."""

from __future__ import annotations

import cmath
import itertools
import math

import pytest
import torch
from torch import Tensor

from attnbench.kernels import phi1, rotation
from attnbench.kernels.economised import coefficients
from attnbench.kernels.turned import DOUBLE, turned_phi1

UNITS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
PAIR, WIDTH = 6, 5


def exact_phi1(z: complex) -> complex:
    return sum(z**k / math.factorial(k + 1) for k in range(8)) if abs(z) < 0.02 else (cmath.exp(z) - 1) / z


@pytest.mark.parametrize("unit", UNITS.values(), ids=["float32", "float64"])
@pytest.mark.parametrize("radius", [0.0, 1e-5, 0.3, 1.0, 1.32, 2.0, 3.4])
def test_the_polynomial_is_phi1_on_the_imaginary_axis(radius: float, unit: float) -> None:
    """z phi1(z) is e^z - 1, of which the rotation is made: in it the error counts, and in its derivative for the gradient."""
    even, odd = coefficients(radius, unit)

    def error(t: float) -> complex:
        z = 1j * t
        return z * (sum(a * z ** (2 * i) + b * z ** (2 * i + 1) for i, (a, b) in enumerate(zip(even, odd, strict=True))) - exact_phi1(z))

    places = [radius * i / 200 for i in range(201)]
    rounding = 8 * 2.0**-52 * max(1.0, radius)  # of this test's own sums
    assert max(abs(error(t)) for t in places) <= unit / 8 + rounding
    if unit > 1e-10 and radius:
        slopes = [abs(error(b) - error(a)) / (b - a) for a, b in itertools.pairwise(places)]
        assert max(slopes) <= 8 * unit


@pytest.mark.parametrize(("radius", "pairs"), [(0.1, 3), (1.3, 5), (3.3, 7)])
def test_the_polynomial_is_shorter_than_the_series(radius: float, pairs: int) -> None:
    """The series that is as exact in float32 takes some terms more."""
    even, odd = coefficients(radius, UNITS[torch.float32])
    assert len(even) == len(odd) == pairs
    assert radius ** (2 * pairs + 1) / math.factorial(2 * pairs + 1) > 2 * UNITS[torch.float32] / 16 or radius < 1.0


def drawn(norms: tuple[float, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """N = G J^T and T for some heads, G the Gram matrix of random columns, with N of these Frobenius norms."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(len(norms), 9, PAIR, dtype=torch.float64, generator=generator)
    gram = u.mT @ u
    left, right = gram.chunk(2, dim=-1)
    n = torch.cat([right, -left], dim=-1)
    n = n * (torch.tensor(norms, dtype=torch.float64)[:, None, None] / torch.linalg.matrix_norm(n)[:, None, None])
    t = torch.randn(len(norms), WIDTH, PAIR, dtype=torch.float64, generator=generator)
    return n.to(dtype), t.to(dtype)


def by_exponential(n: Tensor, t: Tensor) -> Tensor:
    """T phi1(N) as a block of exp([[0, T], [0, N]])."""
    rows = torch.cat([n.new_zeros(*n.shape[:-2], WIDTH, WIDTH), t], dim=-1)
    below = torch.cat([n.new_zeros(*n.shape[:-2], PAIR, WIDTH), n], dim=-1)
    return torch.linalg.matrix_exp(torch.cat([rows, below], dim=-2))[..., :WIDTH, WIDTH:]


@pytest.mark.parametrize("dtype", UNITS, ids=str)
@pytest.mark.parametrize("norms", [(0.0, 1e-3), (0.5, 2.0), (1e-6, 4.0), (5.0, 40.0)], ids=["tiny", "usual", "mixed", "doublings"])
def test_the_block_and_its_gradients_are_those_of_the_exponential(norms: tuple[float, ...], dtype: torch.dtype) -> None:
    """N = c G J^T is moved as G is, symmetrically, so that P stands for P + P^T."""
    n, t = drawn(norms, dtype)
    y, pull_back = turned_phi1(n, t, True)
    n64, t64 = (x.double().clone().requires_grad_() for x in (n, t))
    exact = by_exponential(n64, t64)
    gy = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted_n, wanted_t = torch.autograd.grad(exact, (n64, t64), gy)
    assert pull_back is not None
    p, f = pull_back(gy.to(dtype))
    by_gram, by_f = (torch.cat([-x[..., PAIR // 2 :], x[..., : PAIR // 2]], dim=-1) for x in (wanted_n, wanted_t))  # N = G J^T, T = F J^T
    allowed = {torch.float32: 2e-5, torch.float64: 1e-12}[dtype]
    for found, wanted in ((y, exact.detach()), (p + p.mT, by_gram + by_gram.mT), (f, by_f)):
        assert found.dtype == dtype
        error = torch.linalg.matrix_norm(found.double() - wanted) / torch.linalg.matrix_norm(wanted)
        assert float(error.max()) <= allowed


def test_the_bound_of_the_eigenvalues_holds_and_is_near() -> None:
    n, _ = drawn(tuple(1.0 + i for i in range(40)))
    largest = torch.linalg.eigvals(n).abs().amax(-1)
    bound = DOUBLE * torch.linalg.matrix_norm(n @ n).sqrt()
    assert bool((bound >= largest).all()) and bool((bound <= 1.7 * largest).all())


def gradients(c: float, inputs: tuple[Tensor, ...], scales: Tensor) -> list[Tensor]:
    """The output and all gradients."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    factor = (c * scales).requires_grad_()
    out = rotation.rotate(leaves[0], leaves[1], leaves[2], factor)
    upstream = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    return [out.detach(), *torch.autograd.grad(out, [*leaves, factor], upstream)]


@pytest.mark.parametrize("c", [0.02, 1.0], ids=["series", "doublings"])
@pytest.mark.parametrize("seq_len", [1, 6, 23])
def test_a_sequence_in_chunks_is_turned_as_one_at_once(seq_len: int, c: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values wider than a head, as for a matrix; one head has c = 0; queries and keys that are views of what a model gives."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, seq_len, 3, 4, dtype=torch.float64, generator=generator).transpose(1, 2) for _ in range(2))
    v = torch.randn(2, 3, seq_len, 7, dtype=torch.float64, generator=generator)
    scales = torch.tensor([1.0, 0.0, -0.5], dtype=torch.float64)[:, None, None]
    s = c * scales * (q @ k.mT - k @ q.mT)
    at_once = gradients(c, (q, k, v), scales)
    torch.testing.assert_close(at_once[0], torch.linalg.matrix_exp(s) @ v)
    monkeypatch.setattr(rotation, "CHUNK_TOKENS", 5 if seq_len > 5 else 0)
    monkeypatch.setattr(rotation, "CHUNK_VALUES", 200)  # two heads at a time
    if seq_len > 5:
        for one, other in zip(gradients(c, (q, k, v), scales), at_once, strict=True):
            torch.testing.assert_close(one, other)


def test_the_norm_is_that_of_finite_matrices_and_infinite_beyond_the_dtype() -> None:
    m = torch.eye(2).repeat(3, 1, 1)
    assert phi1.largest_norm(m * torch.tensor([1.0, 3.0, 2.0])[:, None, None], m) == pytest.approx(3.0 * math.sqrt(2.0))
    poisoned = m.clone()
    poisoned[1, 0, 1] = math.nan
    assert phi1.largest_norm(5.0 * poisoned, poisoned) == pytest.approx(5.0 * math.sqrt(2.0))
    assert phi1.largest_norm(1e30 * m, m) == math.inf == phi1.largest_norm((1e30 * m) @ (1e30 * m), m)
    assert phi1.largest_norm(m[:0], m[:0]) == 0.0
