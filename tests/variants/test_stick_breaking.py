"""Stick-breaking attention: by hand, key by key, against fla's naive form, at the ends of the range of scores, and with faults planted."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.measurement.memory import peak_memory_bytes
from helpers.mechanisms import relative_error
from helpers.naive_forms import naive_form
from helpers.planted_faults import finding

HEAD_DIM = 8


def inputs_of(seq_len: int, heads: int = 2, batch: int = 1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seq_len)
    return tuple(torch.randn(batch, heads, seq_len, HEAD_DIM, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(3))


def broken(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Key by key: every row before whose token the key lies takes its share of what the nearer keys have left."""
    seq_len = q.shape[2]
    left, out = torch.ones_like(q[..., :1]), torch.zeros_like(v)
    for j in range(seq_len - 1, -1, -1):
        later = (torch.arange(seq_len) > j)[:, None]
        share = (q @ k[:, :, j, :, None] / math.sqrt(HEAD_DIM)).sigmoid() * later
        out = out + left * share * v[:, :, j : j + 1]
        left = left * (1 - share)
    return out


def long_sticks(seq_len: int) -> tuple[Tensor, ...]:
    """Inputs of scores near -6, so that something is left beyond hundreds of keys; with those of inputs_of it is 2^-400."""
    q, k, v = (x.detach() for x in inputs_of(seq_len))
    q[..., 0], k[..., 0] = 4.0, -4.0
    return tuple(x.requires_grad_() for x in (q, k, v))


# A tile has 128 rows and 512 keys.
@pytest.mark.parametrize(("draw", "seq_len"), [*((inputs_of, n) for n in (1, 2, 63, 100, 128, 129, 700)), (long_sticks, 1100)])
def test_output_and_gradients_are_those_of_sticks_broken_key_by_key(draw: Callable[[int], tuple[Tensor, ...]], seq_len: int) -> None:
    inputs = draw(seq_len)
    out, wanted = attnbench.build("stick_breaking", 2, HEAD_DIM)(*inputs, causal=True), broken(*inputs)
    torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-12)
    upstream = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for found, exact in zip(torch.autograd.grad(out, inputs, upstream), torch.autograd.grad(wanted, inputs, upstream), strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-11)


@pytest.mark.long
def test_it_agrees_with_fla() -> None:
    inputs = inputs_of(150)
    wanted, rest = naive_form("stickbreaking_attn").naive_stickbreaking_attn(*(x.transpose(1, 2) for x in inputs))
    module = attnbench.build("stick_breaking", 2, HEAD_DIM)
    torch.testing.assert_close(module(*inputs, causal=True), wanted.transpose(1, 2), rtol=1e-9, atol=1e-11)
    sums = module.matrix(*inputs[:2], causal=True).sum(-1)
    torch.testing.assert_close(sums, 1 - rest.transpose(1, 2), rtol=1e-9, atol=1e-11)


def test_by_hand() -> None:
    """Scores of 0 take half of what is left; log 3 takes three quarters."""
    k = torch.tensor([0.0, 0.0, math.log(3.0), 5.0])[None, None, :, None]
    v = torch.tensor([16.0, 32.0, 4.0, 99.0])[None, None, :, None]
    out = attnbench.build("stick_breaking", 1, 1)(torch.ones_like(k), k, v, causal=True)
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 8.0, 16.0 + 4.0, 3.0 + 4.0 + 1.0]))
    mask = torch.tensor([[False, True, False, False]])
    out = attnbench.build("stick_breaking", 1, 1)(torch.ones_like(k), k, v, causal=True, padding_mask=mask)
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 0.0, 8.0, 3.0 + 2.0]))


def test_a_large_score_takes_all_that_is_left() -> None:
    """Scores of 1e4 and -1e4: the whole stick goes to the nearest key with a positive one, and no gradient overflows."""
    seq_len = 300
    positive = torch.rand(seq_len, generator=torch.Generator().manual_seed(0)) < 0.02
    k = torch.where(positive, 1e4, -1e4)[None, None, :, None].clone().requires_grad_()
    q, v = torch.ones_like(k).requires_grad_(), torch.arange(1.0, seq_len + 1)[None, None, :, None]
    out = attnbench.build("stick_breaking", 1, 1)(q, k, v, causal=True)
    nearest = torch.where(positive, v.flatten(), 0.0).cummax(0).values
    assert torch.equal(out.flatten()[1:], nearest[:-1]) and out.flatten()[0] == 0.0
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), (q, k)))


def test_shares_too_small_for_float32_to_take_from_one_add_up() -> None:
    """What a share of e^-17 leaves is 1 in float32, and so is the product over 3,000 keys; the last row shows the farthest one's share."""
    seq_len, share = 3000, 1 / (1 + math.exp(17.0))
    q, k = torch.ones(1, 1, seq_len, 1), torch.full((1, 1, seq_len, 1), -17.0)
    k[..., 0, :], v = 17.0, torch.zeros_like(k)
    v[..., 0, :] = 1.0
    module = attnbench.build("stick_breaking", 1, 1)
    out = module(q, k, v, causal=True)[0, 0, -1, 0]
    stepped, _ = module.step(q[:, :, -1:], k[:, :, -1:], v[:, :, -1:], module.prefill(*(x[:, :, :-1] for x in (q, k, v))))
    wanted = (1 - share) * math.exp((seq_len - 2) * math.log1p(-share))
    assert 1 - wanted > 1e-4
    for found in (out, stepped):
        assert abs(float(found) - wanted) < 2e-7


@pytest.mark.parametrize("size", [0.1, 1.0, 5.0])
def test_float32_loses_no_more_than_the_plain_form(size: float) -> None:
    """Output and gradients at 1,000 tokens, against float64: at most twice the error of the dense matrix in float32."""
    exact = [(size * x).detach() if i < 2 else x.detach() for i, x in enumerate(inputs_of(1000, heads=1))]
    module = attnbench.build("stick_breaking", 1, HEAD_DIM)

    def results(dtype: torch.dtype, tiled: bool) -> list[Tensor]:
        q, k, v = (x.to(dtype).requires_grad_() for x in exact)
        out = module(q, k, v, causal=True) if tiled else module.matrix(q, k, causal=True) @ v
        return [out, *torch.autograd.grad(out.square().sum(), (q, k, v))]

    wanted, plain, found = results(torch.float64, False), results(torch.float32, False), results(torch.float32, True)
    for one, other, right in zip(found, plain, wanted, strict=True):
        assert relative_error(one, right) < 2 * relative_error(other, right) + 4e-7


def test_padding_anywhere_is_as_if_it_were_not_there() -> None:
    seq_len = 200
    draws = torch.rand(3, seq_len, generator=torch.Generator().manual_seed(1))
    mask = draws < torch.tensor([0.5, 0.02, 1.0])[:, None]
    q, k, v = inputs_of(seq_len, batch=3)
    poisoned = [x.masked_fill(mask[:, None, :, None], math.nan) for x in (q, k, v)]
    out = attnbench.build("stick_breaking", 2, HEAD_DIM)(*poisoned, causal=True, padding_mask=mask)
    gradients = torch.autograd.grad(out.square().sum(), (q, k, v))
    for row, padded in enumerate(mask):
        assert out[row, :, padded].eq(0.0).all()
        wanted = broken(*(x[row : row + 1, :, ~padded] for x in (q, k, v)))
        torch.testing.assert_close(out[row : row + 1, :, ~padded], wanted, rtol=1e-10, atol=1e-12)
        if not padded.all():
            for found, exact in zip(gradients, torch.autograd.grad(wanted.square().sum(), (q, k, v)), strict=True):
                torch.testing.assert_close(found[row], exact[row], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("training", [False, True])
def test_no_attention_matrix_is_kept(training: bool) -> None:
    q, k, v = (torch.randn(1, 1, 4096, HEAD_DIM, requires_grad=training) for _ in range(3))
    module = attnbench.build("stick_breaking", 1, HEAD_DIM)

    def call(_: int) -> object:
        out = module(q, k, v, causal=True)
        return torch.autograd.grad(out.sum(), (q, k, v)) if training else out

    call(0)
    assert 0 < peak_memory_bytes(call, "cpu") < 4096 * 4096 * 4 / 10


SEES_ITSELF = {
    "scores = state.scores(": "state = state.append(k, v)\n        scores = state.scores(",
    "return state.weighted(weights).to(v.dtype), state.append(k, v)": "return state.weighted(weights).to(v.dtype), state",
}
UNPACKED = {
    "q, k, v = pack(padding_mask, q, k, v)": "q, k, v = hide_padding(padding_mask, q, k, v)",
    "return unpack(padding_mask, stick_breaking_attention(at_least_float32(q) / math.sqrt(q.shape[-1]), k, v))": (
        "return hide_padding(padding_mask, stick_breaking_attention(at_least_float32(q) / math.sqrt(q.shape[-1]), k, v))[0]"
    ),
}
INCLUSIVE = {"F.pad(x[..., 1:].flip(-1).cumsum(-1).flip(-1), (0, 1))": "x.flip(-1).cumsum(-1).flip(-1)"}
UNSCALED = {"stick_breaking_attention(at_least_float32(q) / math.sqrt(q.shape[-1])": "stick_breaking_attention(at_least_float32(q)"}
FAULTS = [
    ("the matrix sees its own token", "matrix", {"before = visible.tril(-1)": "before = visible"}),
    ("the definition sees its own token", "rows", {"< seen.rows[:, None]": "<= seen.rows[:, None]"}),
    ("a step sees its own token", "decode", SEES_ITSELF),
    ("a key's own share is taken first", "decode", INCLUSIVE),
    ("padding takes its share", "padding_alone", UNPACKED),
    ("scores are not scaled", "matrix", UNSCALED),
]


@pytest.mark.parametrize(("check", "change"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_planted_fault_is_found(check: str, change: dict[str, str]) -> None:
    assert finding("stick_breaking", change, check).status == "failed"
