"""Positions of a model: a table, turns of queries and keys that only know distances, or none at all."""

from __future__ import annotations

import pytest
import torch

import attnbench
from attnbench.training.model import Architecture, Transformer
from attnbench.training.positions import rotated

HEAD_DIM = 8


def test_a_turned_query_and_a_turned_key_know_their_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, HEAD_DIM, dtype=torch.float64).expand(2, 1, 1, 50, HEAD_DIM)
    scores = (rotated(q) @ rotated(k).mT)[0, 0]
    for distance in (-20, -1, 0, 7):
        assert torch.allclose(scores.diagonal(distance), scores.diagonal(distance)[0].expand(50 - abs(distance)))
    assert not torch.allclose(scores[0, 1], scores[0, 2])
    assert torch.allclose(scores[3, 3], (q[0, 0, 0] * k[0, 0, 0]).sum())  # at no distance nothing is turned


def test_turns_keep_lengths_and_are_those_of_complex_numbers() -> None:
    x = torch.randn(2, 3, 11, HEAD_DIM, dtype=torch.float64)
    assert torch.allclose(rotated(x).norm(dim=-1), x.norm(dim=-1))
    speed = 10_000.0 ** -(torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM)
    turns = torch.polar(torch.ones(11, HEAD_DIM // 2, dtype=torch.float64), torch.arange(11, dtype=torch.float64)[:, None] * speed)
    turned = torch.complex(x[..., : HEAD_DIM // 2], x[..., HEAD_DIM // 2 :]) * turns
    assert torch.allclose(rotated(x), torch.cat([turned.real, turned.imag], dim=-1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_shorter_dtypes_are_turned_as_exactly_as_they_can_be(dtype: torch.dtype) -> None:
    x = torch.randn(1, 1, 5000, HEAD_DIM)
    exact = rotated(x.to(dtype).double())
    assert rotated(x.to(dtype)).dtype == dtype
    assert torch.allclose(rotated(x.to(dtype)).double(), exact, atol=4 * torch.finfo(dtype).eps, rtol=4 * torch.finfo(dtype).eps)


def model(positions: str, seq_len: int = 10) -> Transformer:
    torch.manual_seed(0)
    shape = Architecture(
        block="residual", num_layers=2, num_heads=2, d_model=16, positions=positions,
        build_attention=lambda layer_index: attnbench.build("softmax", 2, HEAD_DIM),
    )  # fmt: skip
    return Transformer(shape, torch.nn.Embedding(20, shape.d_model), seq_len, outputs=3, per_token=True)


@torch.no_grad()
def test_without_positions_an_order_is_no_difference() -> None:
    tokens, order = torch.randint(0, 20, (4, 10)), torch.randperm(10)
    for positions, same in (("none", True), ("rotary", False), ("learned", False)):
        of = model(positions)
        assert torch.allclose(of(tokens)[:, order], of(tokens[:, order]), atol=1e-5) == same, positions


@torch.no_grad()
def test_only_a_table_ends() -> None:
    tokens = torch.randint(0, 20, (2, 40))
    for positions in ("none", "rotary"):
        of = model(positions)
        assert of.position is None and of(tokens).shape == (2, 40, 3)
    with pytest.raises(RuntimeError):
        model("learned")(tokens)


def test_positions_are_the_same_model_but_for_the_table() -> None:
    """Nothing else is drawn otherwise, so that seeds stay comparable."""
    states = {positions: model(positions).state_dict() for positions in ("learned", "rotary", "none")}
    assert states["learned"].keys() - states["none"].keys() == {"position"}
    for positions in ("rotary", "none"):
        assert all(torch.equal(x, states["learned"][name]) for name, x in states[positions].items())
