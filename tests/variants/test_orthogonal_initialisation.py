"""What orthogonal attention starts with: its alpha, and projections that are orthonormal."""

from __future__ import annotations

import math

import pytest
import torch

import attnbench
from attnbench.training import diagnose
from attnbench.training.model import Architecture, Stack


def condition(num_layers: int, alpha: float) -> float:
    """Condition number of the Jacobian of attention alone in a skipless stack at initialisation: 7 tokens, 2 heads of 4."""
    torch.manual_seed(0)
    architecture = Architecture(
        block="skipless",
        num_layers=num_layers,
        num_heads=2,
        d_model=8,
        build_attention=lambda layer_index: attnbench.build("orthogonal", 2, 4, seq_len=7, alpha=alpha),
    )
    return diagnose.jacobian_condition(Stack(architecture).double().mix, torch.randn(7, 8, dtype=torch.float64))


@pytest.mark.parametrize("num_layers", [1, 5])
def test_the_projections_alone_are_an_isometry_at_any_depth(num_layers: int) -> None:
    """At alpha 0 the matrix is the identity, and products of orthogonal maps are orthogonal: the Jacobian has condition one."""
    assert condition(num_layers, alpha=0.0) == pytest.approx(1.0, abs=1e-5)
    assert condition(num_layers, alpha=1.0) > 1.1  # of a matrix that depends on the tokens it is not


def test_alpha_shrinks_with_length_and_depth_and_is_one_per_head() -> None:
    def alpha(**context: int) -> torch.Tensor:
        return attnbench.build("orthogonal", 3, 16, **context).get_parameter("alpha")

    shallow = alpha(seq_len=64)
    assert shallow.shape == (3,) and shallow.requires_grad
    assert torch.equal(alpha(seq_len=64, num_layers=2), shallow)
    torch.testing.assert_close(alpha(seq_len=64, num_layers=8), shallow / 2)
    assert (alpha(seq_len=256) < shallow).all()


@pytest.mark.parametrize("head_dim", [8, 64])
@pytest.mark.parametrize("seq_len", [16, 49, 256, 1024])
def test_at_the_initial_alpha_the_norm_of_s_is_about_one(seq_len: int, head_dim: int) -> None:
    alpha = float(attnbench.build("orthogonal", 1, head_dim, seq_len=seq_len).alpha.detach())
    q, k = torch.randn(2, seq_len, head_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # S = alpha / sqrt(d) [q, k] [k, -q]^T, whose norm is that of the product of their triangular factors.
    left, right = (torch.linalg.qr(torch.cat(pair, dim=-1)).R for pair in ((q, k), (k, -q)))
    assert 0.8 < alpha / math.sqrt(head_dim) * float(torch.linalg.matrix_norm(left @ right.mT, 2)) < 1.2


@pytest.mark.parametrize(("heads", "head_dim"), [(2, 8), (3, 5), (5, 4)])
def test_the_initialisation_is_orthonormal(heads: int, head_dim: int) -> None:
    d_model = heads * head_dim
    w_q, w_k, w_v, w_o = (torch.full((d_model, d_model), math.nan) for _ in range(4))
    attnbench.build("orthogonal", heads, head_dim).init_projections(w_q, w_k, w_v, w_o)
    for head in range(heads):
        rows = slice(head * head_dim, (head + 1) * head_dim)
        joint = torch.cat([w_q[rows], w_k[rows]])
        torch.testing.assert_close(joint @ joint.mT, torch.eye(2 * head_dim), rtol=0.0, atol=1e-5)
    for weight in (w_v, w_o):
        torch.testing.assert_close(weight @ weight.mT, torch.eye(d_model), rtol=0.0, atol=1e-5)
    assert not torch.allclose(w_q[:head_dim], w_q[head_dim : 2 * head_dim], atol=1e-2)
    assert not torch.allclose(w_v, w_o, atol=1e-2)


def test_the_initialisation_of_one_head_is_as_orthonormal_as_it_can_be() -> None:
    """2 head_dim rows in d_model = head_dim dimensions: orthonormal columns instead."""
    w_q, w_k, w_v, w_o = (torch.full((6, 6), math.nan) for _ in range(4))
    attnbench.build("orthogonal", 1, 6).init_projections(w_q, w_k, w_v, w_o)
    joint = torch.cat([w_q, w_k])
    torch.testing.assert_close(joint.mT @ joint, torch.eye(6), rtol=0.0, atol=1e-5)
