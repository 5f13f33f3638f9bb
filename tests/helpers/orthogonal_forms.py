"""Helpers to hold every orthogonal form against dense float64 definitions that share nothing with it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import attnbench

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
