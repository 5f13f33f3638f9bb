"""Token shift: by hand, causal, blind to padding wherever it is, and a parameter of the model and not of a mechanism."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.training.model import Stack, Transformer, count_mechanism_parameters, count_parameters
from attnbench.training.recipe import Recipe
from attnbench.training.token_shift import TokenShift, token_before
from attnbench.training.train import optimiser_of, train
from attnbench.workload import Split
from helpers.stacks import BATCH, D_MODEL, HEAD_DIM, HEADS, SEQ_LEN, Recorder, architecture, blocks

HOLES = torch.tensor([[1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1], [0] * 11, [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)


def shifting(block: str = "residual", name: str = "softmax") -> Stack:
    torch.manual_seed(0)
    return Stack(dataclasses.replace(architecture(name, block), token_shift=True))


def stirred(module: nn.Module) -> nn.Module:
    """The module with mixes that differ between channels, and between queries, keys and values."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, TokenShift):
                part.mix.uniform_(-0.5, 1.5)
    return module


def test_it_starts_as_the_mean_of_a_token_and_the_one_before_it() -> None:
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL)
    for mixed in TokenShift(D_MODEL)(x):
        torch.testing.assert_close(mixed[:, 1:], (x[:, 1:] + x[:, :-1]) / 2)
        torch.testing.assert_close(mixed[:, 0], x[:, 0] / 2)  # before the first is zero


def test_every_channel_of_queries_keys_and_values_has_a_share_of_its_own() -> None:
    shift = TokenShift(2)
    with torch.no_grad():
        shift.mix.copy_(torch.tensor([[0.0, 1.0], [0.25, 0.5], [2.0, -1.0]]))
    found = shift(torch.tensor([[[1.0, 10.0], [3.0, 20.0]]]))
    expected = [[[1.0, 0.0], [3.0, 10.0]], [[0.75, 5.0], [2.5, 15.0]], [[-1.0, 20.0], [-1.0, 30.0]]]
    assert found[:, 0].tolist() == expected


def test_queries_keys_and_values_are_projected_from_their_own_mixes_and_hidden_is_not_shifted() -> None:
    chosen = dataclasses.replace(architecture("softmax", "skipless"), build_attention=Recorder, needs_hidden=True, token_shift=True)
    stack = stirred(Stack(chosen))
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL)
    stack(x)
    layer = stack.blocks[0].attention
    assert torch.equal(layer.attention.seen["hidden"], x)
    before = torch.cat([torch.zeros(BATCH, 1, D_MODEL), x[:, :-1]], 1)
    for name, linear, share in zip("qkv", (layer.w_q, layer.w_k, layer.w_v), layer.shift.mix, strict=True):
        mixed = (1 - share) * x + share * before
        expected = (mixed @ linear.weight.mT).unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)
        torch.testing.assert_close(layer.attention.seen[name], expected)


def test_the_token_before_is_the_nearest_that_is_no_padding() -> None:
    x = torch.arange(1.0, 12.0)[None, :, None].expand(BATCH, -1, -1)
    found = token_before(x, HOLES)[..., 0].int().tolist()
    assert [n for n, hidden in zip(found[0], HOLES[0], strict=True) if not hidden] == [0, 2, 3, 6, 7]
    assert found[1] == list(range(11))
    assert found[2][7:] == [0, 8, 9, 10]


def test_padding_on_the_right_is_free() -> None:
    x, mask = torch.randn(BATCH, SEQ_LEN, D_MODEL), torch.arange(SEQ_LEN) >= torch.tensor([SEQ_LEN, 7, 1])[:, None]
    assert torch.equal(token_before(x, mask)[~mask], token_before(x)[~mask])


def test_padding_is_never_the_token_before_whatever_it_holds() -> None:
    shift = stirred(TokenShift(D_MODEL))
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL)
    spoilt = x.masked_fill(HOLES[..., None], torch.nan)
    found = shift(spoilt, HOLES)
    for row, hidden in enumerate(HOLES):
        torch.testing.assert_close(found[:, row, ~hidden], shift(x[row : row + 1, ~hidden])[:, 0])


@blocks
@pytest.mark.parametrize("name", ["softmax", "gated", "orthogonal"])
def test_a_model_is_blind_to_what_padding_holds(name: str, block: str) -> None:
    stack = stirred(shifting(block, name)).double().eval()
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL, dtype=torch.float64)
    found, other = (stack(x + noise, False, HOLES)[~HOLES] for noise in (0, HOLES[..., None].double()))
    torch.testing.assert_close(found, other)


def test_a_causal_model_sees_nothing_that_comes_later() -> None:
    stack = stirred(shifting()).double()
    x = torch.randn(1, SEQ_LEN, D_MODEL, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(stack(x, True)[0, 4].sum(), x)
    assert gradient[0, :5].norm(dim=-1).min() > 0 and not gradient[0, 5:].any()


@blocks
def test_its_parameters_are_the_models_and_not_the_mechanisms(block: str) -> None:
    with_shift, without = shifting(block, "gated"), Stack(architecture("gated", block))
    assert count_parameters(with_shift) - count_parameters(without) == 2 * 3 * D_MODEL
    assert count_mechanism_parameters(with_shift) == count_mechanism_parameters(without) > 0


def test_a_model_has_the_same_start_with_it_and_where_all_mixes_are_zero_the_same_output() -> None:
    torch.manual_seed(0)
    without = Stack(architecture("softmax", "residual"))
    shifted = shifting()
    for name, weight in without.state_dict().items():
        assert torch.equal(weight, shifted.state_dict()[name]), name  # the same draws
    with torch.no_grad():
        for block in shifted.blocks:
            block.attention.shift.mix.zero_()
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL)
    torch.testing.assert_close(shifted(x), without(x))


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_it_is_learned(mixed_precision: bool) -> None:
    chosen = dataclasses.replace(architecture("softmax", "skipless"), token_shift=True)
    torch.manual_seed(0)
    model = Transformer(chosen, nn.Embedding(11, D_MODEL), SEQ_LEN, outputs=3)
    tokens = torch.randint(0, 11, (32, SEQ_LEN))
    data = Split(tokens, tokens[:, 0] % 3, torch.arange(SEQ_LEN) >= torch.randint(2, SEQ_LEN, (32, 1)))
    train(model, data, data, Recipe(epochs=2, lr=1e-2, batch_size=8, seed=0, mixed_precision=mixed_precision))
    for block in model.stack.blocks:
        assert (block.attention.shift.mix != 0.5).all()


def test_theoptimiser_of_leaves_the_mixes_out_of_weight_decay() -> None:
    chosen = dataclasses.replace(architecture("softmax", "residual"), token_shift=True)
    model = Transformer(chosen, nn.Embedding(11, D_MODEL), SEQ_LEN, outputs=3)
    decaying, kept = optimiser_of(model, Recipe(epochs=1, lr=1e-3, batch_size=1, seed=0)).param_groups
    mixes = {id(block.attention.shift.mix) for block in model.stack.blocks}
    assert kept["weight_decay"] == 0.0 and mixes <= {id(p) for p in kept["params"]}
    assert decaying["weight_decay"] > 0.0 and mixes.isdisjoint(map(id, decaying["params"]))
    assert {id(block.attention.w_q.weight) for block in model.stack.blocks} <= {id(p) for p in decaying["params"]}


def test_gradients_by_finite_differences() -> None:
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    shift = TokenShift(3).double()

    def loss(x: Tensor, mix: Tensor) -> Tensor:
        return torch.func.functional_call(shift, {"mix": mix}, (x, HOLES[:2, :5]))

    assert torch.autograd.gradcheck(loss, (x, shift.mix))
    assert F.pad(x[:, :-1], (0, 0, 1, 0)).equal(token_before(x, torch.zeros(2, 5, dtype=torch.bool)))
