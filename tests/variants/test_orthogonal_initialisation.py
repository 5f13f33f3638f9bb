"""The claim of OSA's initialisation: the Jacobian of a skipless stack is well-conditioned, whatever its length, width and depth."""

from __future__ import annotations

import math

import pytest
import torch

import attnbench
from attnbench.training import diagnose
from attnbench.training.model import Architecture, Stack, unit_rms


def condition(seq_len: int, num_heads: int, head_dim: int, num_layers: int, alpha: float | None = None) -> float:
    torch.manual_seed(0)
    d_model = num_heads * head_dim
    architecture = Architecture(
        block="skipless",
        num_layers=num_layers,
        num_heads=num_heads,
        d_model=d_model,
        build_attention=lambda layer_index: attnbench.build(
            "orthogonal", num_heads, head_dim, seq_len=seq_len, d_model=d_model, layer_index=layer_index, num_layers=num_layers, alpha=alpha
        ),
    )
    return diagnose.jacobian_condition(Stack(architecture).double(), unit_rms(torch.randn(1, seq_len, d_model, dtype=torch.float64))[0])


@pytest.mark.parametrize("num_layers", [1, 4, 12])
@pytest.mark.parametrize(("seq_len", "num_heads", "head_dim"), [(16, 2, 16), (32, 2, 8), (8, 4, 8)])
def test_attention_costs_the_jacobian_little_at_any_depth(seq_len: int, num_heads: int, head_dim: int, num_layers: int) -> None:
    """A shallow stack is dominated by its one layer; in a deep one attention adds little to what the MLPs cost by themselves."""
    allowed = 300.0 if num_layers == 1 else 8.0 * condition(seq_len, num_heads, head_dim, num_layers, alpha=0.0)
    assert condition(seq_len, num_heads, head_dim, num_layers) < allowed


def test_the_bound_can_fail() -> None:
    """Ten times the initial alpha breaks it: the choice is no formality."""
    module = attnbench.build("orthogonal", 2, 16, seq_len=16, num_layers=4)
    bad = 10.0 * float(module.get_parameter("alpha").detach()[0])
    assert condition(16, 2, 16, 4, alpha=bad) > 8.0 * condition(16, 2, 16, 4, alpha=0.0)


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
    s = alpha / math.sqrt(head_dim) * (q @ k.mT - k @ q.mT)
    assert 0.8 < float(torch.linalg.matrix_norm(s, 2)) < 1.2


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
