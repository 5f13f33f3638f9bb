"""phi1(M) W against float64 computations that share nothing with it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.kernels import basis, phi1, rotation
from attnbench.kernels.phi1 import phi1_times
from attnbench.measurement.checks import check

NORMS = (1e-8, 1e-3, 0.3, 0.999, 1.001, 3.0, 7.9, 8.1, 30.0, 300.0, 1e4)
EVERY_BATCH = ((), (3,), (2, 3), (2, 3, 5))


def augmented(m: Tensor, w: Tensor) -> Tensor:
    """phi1(m) w as the upper right block of exp([[m, w], [0, 0]]), in float64."""
    m, w = m.double(), w.double()
    columns = w.shape[-1]
    upper = torch.cat([m, w], dim=-1)
    lower = upper.new_zeros(*m.shape[:-2], columns, upper.shape[-1])
    return torch.linalg.matrix_exp(torch.cat([upper, lower], dim=-2))[..., : m.shape[-1], m.shape[-1] :]


def one_norm(m: Tensor) -> float:
    return float(m.abs().sum(-2).max())


def generic(norm: float, batch: tuple[int, ...] = (3,), seed: int = 0) -> Tensor:
    m = torch.randn(*batch, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return m * (norm / one_norm(m))


def skew_similar(norm: float, d: int = 5) -> Tensor:
    """J G with G = U^T U: similar to a skew matrix, and not normal. What the orthogonal mechanism passes."""
    u = torch.randn(3, 17, 2 * d, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    upper, lower = (u.mT @ u).chunk(2, dim=-2)
    m = torch.cat([lower, -upper], dim=-2)
    return m * (norm / one_norm(m))


def block(m: Tensor, columns: int = 11) -> Tensor:
    return torch.randn(*m.shape[:-1], columns, dtype=m.dtype, generator=torch.Generator().manual_seed(2))


def relative_error(actual: Tensor, exact: Tensor) -> float:
    actual, exact = actual.detach().double(), exact.detach()
    return float((actual - exact).norm() / exact.norm())


@pytest.mark.parametrize("norm", NORMS)
def test_skew_similar_in_float64(norm: float) -> None:
    m = skew_similar(norm)
    assert relative_error(phi1_times(m, block(m)), augmented(m, block(m))) < 1e-13 * max(10.0, norm)


@pytest.mark.parametrize("norm", [norm for norm in NORMS if norm <= 300.0])
def test_skew_similar_in_float32(norm: float) -> None:
    """Against the exact value for the rounded matrix: rounding the matrix is no error of the kernel's."""
    m = skew_similar(norm).float()
    w = block(m)
    out = phi1_times(m, w)
    assert out.dtype == torch.float32
    assert relative_error(out, augmented(m, w)) < 1e-5


@pytest.mark.parametrize("norm", [norm for norm in NORMS if norm <= 30.0])
def test_generic_matrices(norm: float) -> None:
    m = generic(norm)
    assert relative_error(phi1_times(m, block(m)), augmented(m, block(m))) < 1e-12


@pytest.mark.parametrize("angle", [1e-9, 0.5, 2.0, 100.0, 12345.678])
def test_a_rotation_by_hand(angle: float) -> None:
    """phi1([[0, -t], [t, 0]]) = [[sin t, cos t - 1], [1 - cos t, sin t]] / t."""
    m = torch.tensor([[[0.0, -angle], [angle, 0.0]]], dtype=torch.float64)
    versine = 2.0 * math.sin(angle / 2.0) ** 2
    exact = torch.tensor([[[math.sin(angle), -versine], [versine, math.sin(angle)]]], dtype=torch.float64) / angle
    out = phi1_times(m, torch.eye(2, dtype=torch.float64)[None])
    assert relative_error(out, exact) < 1e-14 * max(10.0, angle)


def test_a_nilpotent_matrix_by_hand() -> None:
    """[[0, t], [0, 0]] is singular; phi1 is [[1, t/2], [0, 1]]."""
    m = torch.tensor([[[0.0, 6.0], [0.0, 0.0]]], dtype=torch.float64)
    out = phi1_times(m, torch.eye(2, dtype=torch.float64)[None])
    torch.testing.assert_close(out[0], torch.tensor([[1.0, 3.0], [0.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_zero_matrix_gives_the_block_itself(dtype: torch.dtype) -> None:
    w = torch.randn(3, 7, 5, dtype=dtype, generator=torch.Generator().manual_seed(3))
    assert torch.equal(phi1_times(torch.zeros(3, 7, 7, dtype=dtype), w), w)


@pytest.mark.parametrize("norm", [0.5, 5.0, 50.0])
@pytest.mark.parametrize("batch", EVERY_BATCH, ids=str)
def test_every_number_of_batch_dimensions(batch: tuple[int, ...], norm: float) -> None:
    m = generic(norm, batch)
    out = phi1_times(m, block(m, columns=2))
    assert out.shape == (*batch, 7, 2)
    assert relative_error(out, augmented(m, block(m, columns=2))) < 1e-12


@pytest.mark.parametrize("norms", [(1e-6, 0.5), (1e-6, 50.0), (5.0, 200.0)])
def test_matrices_of_different_norm_in_one_batch(norms: tuple[float, float]) -> None:
    m = torch.cat([skew_similar(norm)[:1] for norm in norms])
    w = block(m)
    exact, out = augmented(m, w), phi1_times(m, w)
    for row in range(2):
        assert relative_error(out[row], exact[row]) < 1e-11


@pytest.mark.parametrize("norm", [0.5, 3.0, 9.0], ids=["series", "doublings", "doublings in float64"])
def test_gradients_are_those_of_finite_differences(norm: float) -> None:
    m = generic(norm, (2,))[:, :3, :3].contiguous().requires_grad_()
    w = block(m, columns=2).detach().requires_grad_()
    assert torch.autograd.gradcheck(phi1_times, (m, w))


@pytest.mark.parametrize("norm", [0.5, 5.0, 50.0])
def test_float32_gradients_on_every_path(norm: float) -> None:
    m, m64 = (skew_similar(norm).to(dtype).requires_grad_() for dtype in (torch.float32, torch.float64))
    w, w64 = (block(skew_similar(norm)).to(dtype).requires_grad_() for dtype in (torch.float32, torch.float64))
    upstream = torch.randn(w64.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    gradients = torch.autograd.grad(phi1_times(m, w), (m, w), upstream.float())
    wanted = torch.autograd.grad(augmented(m64, w64), (m64, w64), upstream)
    for gradient, exact in zip(gradients, wanted, strict=True):
        assert gradient.dtype == torch.float32
        assert relative_error(gradient, exact) < 2e-5


@pytest.mark.parametrize("norm", [1e-8, 0.5, 30.0, 1e4])
def test_the_fixed_number_of_doublings_serves_every_norm(norm: float) -> None:
    """The path of devices on which the norm is not read back."""
    m = skew_similar(norm)
    out = phi1._phi1(m, phi1.DOUBLINGS_WITHOUT_READING) @ block(m)
    assert relative_error(out, augmented(m, block(m))) < 1e-13 * max(10.0, norm)


@pytest.mark.long
@pytest.mark.parametrize("name", ["orthogonal", "orthogonal_qr"])
def test_the_gate_holds_on_devices_that_read_nothing_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their branches, on the CPU: every correctness check, at its own tolerance. One of the two forms by a basis stands for both."""
    monkeypatch.setattr(phi1, "reads_back", lambda x: False)
    monkeypatch.setattr(rotation, "CHUNK_TOKENS", 4)  # for there all sequences go the way of long ones
    monkeypatch.setattr(basis, "exponential_of", basis.exponential_by_phi1)
    report = check(name, {}, "cpu", full=False)
    assert report.ok, [finding for finding in report.checks if finding.status == "failed"]


@pytest.mark.parametrize("size", [1e3, 1e4, 1e5, 1e6, 1e7])
def test_a_norm_that_leaves_float32_is_not_taken_for_none(size: float) -> None:
    """The square of M overflows from inputs of about 1e5 on; a rotation still keeps the length of what it turns."""
    q, k, v = torch.randn(3, 1, 2, 64, 8, generator=torch.Generator().manual_seed(0))
    out = attnbench.build("orthogonal", 2, 8, seq_len=64)(size * q, size * k, v)
    assert float(out.detach().norm() / v.norm()) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("alpha", [0.01, 5.0], ids=["series", "doublings"])
def test_the_backward_pass_may_come_twice(alpha: float) -> None:
    q, k, v = torch.randn(3, 1, 2, 30, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = attnbench.build("orthogonal", 2, 4, alpha=alpha)(q, k, v).sum()
    (first,) = torch.autograd.grad(out, q, retain_graph=True)
    (second,) = torch.autograd.grad(out, q)
    assert torch.equal(first, second)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("norm", [0.5, 50.0])
def test_what_is_not_finite_stays_visible_and_alone(norm: float, poison: float) -> None:
    m = skew_similar(norm)
    w, exact = block(m), augmented(m, block(m))
    m[0, 2, 3] = poison
    out = phi1_times(m, w)
    assert not out[0].isfinite().all()
    for row in (1, 2):
        assert relative_error(out[row], exact[row]) < 1e-10


def test_a_block_that_is_not_finite_spoils_its_column_alone() -> None:
    m = skew_similar(0.5)
    w = block(m)
    exact = augmented(m, w)
    w[:, 4, 3] = math.nan
    out = phi1_times(m, w)
    assert out[..., 3].isnan().all()
    kept = [column for column in range(w.shape[-1]) if column != 3]
    assert relative_error(out[..., kept], exact[..., kept]) < 1e-12
