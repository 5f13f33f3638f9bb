"""Blocks, embeddings and classifier for every mechanism, and what `diagnose` says of stacks whose answer is known."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnbench.training.model import Patches, Stack, Transformer, unit_rms
from helpers.stacks import (
    BATCH,
    D_MODEL,
    HEAD_DIM,
    HEADS,
    NAMES,
    SEQ_LEN,
    Initialised,
    architecture,
    blocks,
    is_causal,
    names,
    parameters,
    reads_qk,
    recording,
)


@blocks
@names
def test_a_stack_keeps_the_shape_and_trains(name: str, block: str) -> None:
    torch.manual_seed(0)
    chosen = architecture(name, block)
    stack = Stack(chosen)
    x = torch.randn(BATCH, SEQ_LEN, chosen.d_model)
    out = stack(x, is_causal(name))
    assert out.shape == x.shape and out.isfinite().all()
    out.square().mean().backward()
    idle: tuple[str, ...] = () if reads_qk(name) else ("w_q.weight", "w_k.weight")  # of which a control has no gradient
    gradients = {key: p.grad for key, p in stack.named_parameters() if not key.endswith(idle)}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())


@blocks
@names
def test_all_variants_have_as_many_parameters_but_for_their_own(name: str, block: str) -> None:
    chosen = architecture(name, block)
    stack, d = Stack(chosen), chosen.d_model
    own = sum(parameters(layer.attention.attention) for layer in stack.blocks)
    mlp = 8 * d * d + 5 * d + 4 * d if block == "residual" else 4 * d * d + 3 * d
    assert parameters(stack) - own == chosen.num_layers * (4 * d * d + mlp)


@names
def test_the_mlp_of_a_skipless_block_starts_column_orthogonal_and_transposed(name: str) -> None:
    torch.manual_seed(0)
    chosen = architecture(name, "skipless")
    for block in Stack(chosen).blocks:
        torch.testing.assert_close(block.w_1.weight.mT @ block.w_1.weight, torch.eye(chosen.d_model), rtol=0.0, atol=1e-5)
        assert torch.equal(block.w_2.weight, block.w_1.weight.mT)
        assert block.w_1.weight.data_ptr() != block.w_2.weight.data_ptr()  # equal at the start, not tied
        assert not block.w_1.bias.any() and not block.w_2.bias.any()


def test_the_mlp_of_a_skipless_block_by_hand() -> None:
    """W_2 leaky(W_1 x) with the values passed on: both halves of the hidden layer count."""
    (block, _) = recording("skipless").double().blocks
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL, dtype=torch.float64)
    mixed = x @ block.attention.w_v.weight.mT @ block.attention.w_o.weight.mT
    hidden = mixed @ block.w_1.weight.mT
    hidden = torch.where(hidden > 0, hidden, 0.6 * hidden)
    torch.testing.assert_close(block(x), hidden @ block.w_1.weight)


def test_a_residual_block_by_hand() -> None:
    (block, _) = recording("residual").double().blocks
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL, dtype=torch.float64)
    attended = x + F.layer_norm(x, (D_MODEL,)) @ block.attention.w_v.weight.mT @ block.attention.w_o.weight.mT
    first, _, second = block.mlp
    hidden = F.layer_norm(attended, (D_MODEL,)) @ first.weight.mT + first.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(block(x), attended + hidden @ second.weight.mT + second.bias)


def test_heads_are_contiguous_slices_of_the_width() -> None:
    stack = recording("skipless")
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL)
    stack(x)
    first = stack.blocks[0].attention
    for key, linear in (("q", first.w_q), ("k", first.w_k), ("v", first.w_v)):
        projected = x @ linear.weight.mT
        for head in range(HEADS):
            given = first.attention.seen[key]
            assert isinstance(given, Tensor)
            torch.testing.assert_close(given[:, head], projected[..., head * HEAD_DIM : (head + 1) * HEAD_DIM])


@blocks
def test_the_mechanisms_own_initialisation_is_honoured(block: str) -> None:
    for layer in recording(block, Initialised).blocks:
        weights = [linear.weight for linear in (layer.attention.w_q, layer.attention.w_k, layer.attention.w_v, layer.attention.w_o)]
        assert [weight.unique().tolist() for weight in weights] == [[1.0], [2.0], [3.0], [4.0]]


@blocks
def test_causal_mask_and_layer_index_reach_every_layer(block: str) -> None:
    stack = recording(block)
    mask = torch.zeros(BATCH, SEQ_LEN, dtype=torch.bool)
    stack(torch.randn(BATCH, SEQ_LEN, D_MODEL), True, mask)
    for index, layer in enumerate(stack.blocks):
        mechanism = layer.attention.attention
        assert mechanism.layer_index == index
        assert mechanism.seen["causal"] is True and mechanism.seen["padding_mask"] is mask
        assert "hidden" not in mechanism.seen


def test_hidden_is_what_the_projections_see() -> None:
    stack = recording("residual", needs_hidden=True)
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL)
    stack(x)
    torch.testing.assert_close(stack.blocks[0].attention.attention.seen["hidden"], F.layer_norm(x, (D_MODEL,)))


def test_unit_rms_gives_every_token_a_root_mean_square_of_one() -> None:
    x = torch.randn(BATCH, SEQ_LEN, D_MODEL) * torch.logspace(-3, 3, SEQ_LEN)[:, None]
    torch.testing.assert_close(unit_rms(x).square().mean(-1), torch.ones(BATCH, SEQ_LEN))
    torch.testing.assert_close(unit_rms(x)[0, 0] * x[0, 0].square().mean().sqrt(), x[0, 0])
    assert torch.equal(unit_rms(torch.zeros(1, 2, 3)), torch.zeros(1, 2, 3))


def test_patches_are_those_cut_by_hand() -> None:
    patches = Patches(2, 1, 3).double()
    images = torch.randint(0, 256, (5, 4, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    out = patches(images)
    assert out.shape == (5, 6, 3)
    for token in range(6):
        row, column = divmod(token, 3)
        pixels = images[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].double() / 127.5 - 1.0
        flat = torch.stack([pixels[:, 0, 0], pixels[:, 0, 1], pixels[:, 1, 0], pixels[:, 1, 1]], dim=1)
        torch.testing.assert_close(out[:, token], flat @ patches.project.weight.mT + patches.project.bias)


def token_classifier(name: str, block: str, seq_len: int = SEQ_LEN) -> Transformer:
    torch.manual_seed(0)
    chosen = architecture(name, block)
    return Transformer(chosen, nn.Embedding(13, chosen.d_model), seq_len, outputs=7).eval()


@blocks
@names
def test_what_stands_under_padding_changes_no_logit(name: str, block: str) -> None:
    model = token_classifier(name, block)
    tokens = torch.randint(0, 13, (BATCH, SEQ_LEN))
    mask = torch.arange(SEQ_LEN) >= torch.tensor([11, 7, 1])[:, None]
    causal = is_causal(name)
    logits = model(tokens, mask, causal)
    assert logits.shape == (BATCH, 7)
    torch.testing.assert_close(model((tokens + 5 * mask) % 13, mask, causal), logits, rtol=0.0, atol=1e-6)
    torch.testing.assert_close(model(tokens, mask, causal)[:1], model(tokens[:1], None, causal), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(model(tokens, None, causal)[1:], logits[1:], atol=1e-3)


@blocks
@names
def test_extra_padding_changes_no_logit(name: str, block: str) -> None:
    """The same weights for a length of 7 and for 11 of which 4 are padding."""
    long, short = token_classifier(name, block), token_classifier(name, block)
    short.position = nn.Parameter(long.position.detach()[:7])
    tokens = torch.randint(0, 13, (BATCH, SEQ_LEN))
    mask = (torch.arange(SEQ_LEN) >= 7).expand(BATCH, -1)
    causal = is_causal(name)
    torch.testing.assert_close(long(tokens, mask, causal), short(tokens[:, :7], None, causal), rtol=1e-4, atol=1e-4)


@blocks
def test_a_sequence_that_is_all_padding_gives_finite_logits_and_gradients(block: str) -> None:
    for name in NAMES:
        model = token_classifier(name, block)
        mask = torch.tensor([[False] * SEQ_LEN, [True] * SEQ_LEN])
        logits = model(torch.randint(0, 13, (2, SEQ_LEN)), mask, is_causal(name))
        F.cross_entropy(logits, torch.tensor([1, 2])).backward()
        assert logits.isfinite().all()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients), name


@blocks
def test_the_order_of_tokens_matters(block: str) -> None:
    model = token_classifier("softmax", block)
    tokens = torch.arange(SEQ_LEN)[None]
    assert not torch.allclose(model(tokens), model(tokens.flip(1)), atol=1e-3)
