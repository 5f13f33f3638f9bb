"""The claim of OSA's initialisation: the Jacobian of a skipless stack is well-conditioned, whatever its length, width and depth."""

from __future__ import annotations

import pytest
import torch

import attnbench
from attnbench import diagnose
from attnbench.model import Architecture, Stack, unit_rms


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
