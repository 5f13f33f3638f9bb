"""The orthogonal forms at every rank and size of [Q, K]."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from attnbench.spec.construct import load_variant
from attnbench.variants.orthogonal_newton_schulz import polar_factor
from helpers.orthogonal_forms import build, draw, errors, names


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


@pytest.mark.timeout(600)  # for what hangs; nothing else comes near it
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
