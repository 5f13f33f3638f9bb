"""Sliding windows: by hand, against a dense float64 form and fla's naive one, in every kind of block, and with faults planted."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.errors import BadInput
from attnbench.kernels.windowed import WindowCache
from attnbench.measurement.memory import peak_memory_bytes
from helpers.mechanisms import relative_error
from helpers.naive_forms import naive_form
from helpers.planted_faults import finding

HEAD_DIM = 8
causal_or_not = pytest.mark.parametrize("causal", [False, True])


def inputs_of(seq_len: int, heads: int = 2, kv_heads: int = 2, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seq_len)
    sizes = (heads, kv_heads, kv_heads)
    q, k, v = (torch.randn(batch, size, seq_len, HEAD_DIM, dtype=torch.float64, generator=generator) for size in sizes)
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()


def dense(q: Tensor, k: Tensor, v: Tensor, window: int, causal: bool) -> Tensor:
    """One loop over the rows, each a softmax over the slice of keys that it sees."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    outs = []
    for i in range(q.shape[2]):
        seen = slice(max(0, i - window + 1), i + 1 if causal else i + window)
        weights = (q[:, :, i : i + 1] @ k[:, :, seen].mT / math.sqrt(HEAD_DIM)).softmax(-1)
        outs.append(weights @ v[:, :, seen])
    return torch.cat(outs, 2)


# Below, at and beyond a block of 64 rows and a run of 1,024; windows of one token, of less than a block, of two blocks and of all.
CASES = [(1, 1), (1, 3), (63, 1), (63, 10), (100, 40), (100, 99), (100, 100), (193, 64), (193, 65), (450, 130), (1200, 3)]


@pytest.mark.parametrize(("seq_len", "window"), CASES)
@causal_or_not
def test_output_and_gradients_are_those_of_the_rows_one_by_one(seq_len: int, window: int, causal: bool) -> None:
    inputs = inputs_of(seq_len)
    module = attnbench.build("sliding_window", 2, HEAD_DIM, window=window).double()
    out, wanted = module(*inputs, causal=causal), dense(*inputs, window, causal)
    torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-12)
    upstream = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for found, exact in zip(torch.autograd.grad(out, inputs, upstream), torch.autograd.grad(wanted, inputs, upstream), strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("batch", [1, 3])
@causal_or_not
def test_query_heads_share_keys_and_values(causal: bool, batch: int) -> None:
    """Six query heads, two of keys and values, whichever way the inputs lie in memory; gradients too."""
    q, k, v = inputs_of(150, heads=6, kv_heads=2, batch=batch)
    module = attnbench.build("sliding_window", 6, HEAD_DIM, num_kv_heads=2, window=20).double()
    views = [x.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for x in (q, k, v)]
    out, wanted = module(*views, causal=causal), dense(q, k, v, 20, causal)
    torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(module.matrix(q, k, causal=causal) @ v.repeat_interleave(3, 1), wanted, rtol=1e-10, atol=1e-12)
    gradients = (torch.autograd.grad(x.square().sum(), leaves) for x, leaves in ((out, views), (wanted, (q, k, v))))
    for found, exact in zip(*gradients, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-11)
    if causal:
        state, outs = module.init_state(batch), []
        for token in range(150):
            row, state = module.step(*(x.detach()[:, :, token : token + 1] for x in (q, k, v)), state)
            outs.append(row)
        torch.testing.assert_close(torch.cat(outs, 2), wanted.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_the_causal_form_is_that_of_fla(kv_heads: int) -> None:
    q, k, v = (x.detach() for x in inputs_of(200, heads=4, kv_heads=kv_heads))
    wanted, _ = naive_form("attn").naive_parallel_attn(*(x.transpose(1, 2) for x in (q, k, v)), window_size=37)
    out = attnbench.build("sliding_window", 4, HEAD_DIM, num_kv_heads=kv_heads, window=37)(q, k, v, causal=True)
    torch.testing.assert_close(out, wanted.transpose(1, 2), rtol=1e-9, atol=1e-11)


def test_by_hand() -> None:
    """Zero queries: each row is the mean of the values that it sees."""
    q, v = torch.zeros(1, 1, 4, 1), torch.tensor([2.0, 4.0, 12.0, 6.0])[None, None, :, None]
    module = attnbench.build("sliding_window", 1, 1, window=2)
    assert module(q, q, v, causal=True).flatten().tolist() == [2.0, 3.0, 8.0, 9.0]
    torch.testing.assert_close(module(q, q, v).flatten(), torch.tensor([3.0, 6.0, 22 / 3, 9.0]))
    mask = torch.tensor([[False, True, False, False]])  # the second token is padding: the third one's neighbour is the first
    assert module(q, q, v, causal=True, padding_mask=mask).flatten().tolist() == [2.0, 0.0, 7.0, 9.0]
    torch.testing.assert_close(module(q, q, v, padding_mask=mask).flatten(), torch.tensor([7.0, 0.0, 20 / 3, 9.0]))


@pytest.mark.parametrize("window", [1, 4, 30, 70, 400])
@causal_or_not
def test_padding_anywhere_is_as_if_it_were_not_there(causal: bool, window: int) -> None:
    seq_len = 300
    draws = torch.rand(4, seq_len, generator=torch.Generator().manual_seed(1))
    mask = draws < torch.tensor([0.5, 0.02, 1.0, 0.97])[:, None]  # many holes, a few, all padding, a few tokens
    q, k, v = inputs_of(seq_len, batch=4)
    module = attnbench.build("sliding_window", 2, HEAD_DIM, window=window).double()
    poisoned = [x.masked_fill(mask[:, None, :, None], math.nan) for x in (q, k, v)]
    out = module(*poisoned, causal=causal, padding_mask=mask)
    gradients = torch.autograd.grad(out.square().sum(), (q, k, v))
    for row, padded in enumerate(mask):
        assert out[row, :, padded].eq(0.0).all()
        if padded.all():
            assert not any(gradient[row].any() for gradient in gradients)
            continue
        q_alone, k_alone, v_alone = (x[row : row + 1, :, ~padded] for x in (q, k, v))
        wanted = dense(q_alone, k_alone, v_alone, window, causal)
        torch.testing.assert_close(out[row : row + 1, :, ~padded], wanted, rtol=1e-10, atol=1e-12)
        exact = torch.autograd.grad(wanted.square().sum(), (q, k, v))
        for found, of_row in zip(gradients, exact, strict=True):
            torch.testing.assert_close(found[row], of_row[row], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
@causal_or_not
def test_padded_keys_weigh_nothing_in_any_dtype(causal: bool, size: float, dtype: torch.dtype) -> None:
    """Scores near -30 x 30 x sqrt(8), too, are far above that of a padded key."""
    q = torch.full((1, 1, 200, HEAD_DIM), size, dtype=dtype)
    mask = torch.arange(200)[None] % 5 == 1
    v = torch.ones_like(q).masked_fill(mask[:, None, :, None], math.nan)
    out = attnbench.build("sliding_window", 1, HEAD_DIM, window=9)(q, -q, v, causal=causal, padding_mask=mask)
    assert torch.equal(out, torch.ones_like(q).masked_fill(mask[:, None, :, None], 0.0))


def test_mixed_precision_takes_the_window_too() -> None:
    q, k, v = (x.detach().float() for x in inputs_of(200))
    module = attnbench.build("sliding_window", 2, HEAD_DIM, window=30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(q, k, v, causal=True)
    assert out.dtype == torch.bfloat16
    assert relative_error(out, dense(q.double(), k.double(), v.double(), 30, True)) < 0.02


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("training", [False, True])
@causal_or_not
def test_memory_grows_with_seq_len_and_not_with_the_window_too(causal: bool, training: bool, padded: bool) -> None:
    """Within 40 times q, of 8,192 tokens; a score for each row and key that it sees would take 64 times, or 128 when not causal."""
    q, k, v = (torch.randn(1, 1, 8192, HEAD_DIM, requires_grad=training) for _ in range(3))
    module = attnbench.build("sliding_window", 1, HEAD_DIM, window=512)
    mask = (torch.arange(8192) % 7 == 3)[None] if padded else None

    def call(_: int) -> object:
        out = module(q, k, v, causal=causal, padding_mask=mask)
        return torch.autograd.grad(out.sum(), (q, k, v)) if training else out

    call(0)
    assert 0 < peak_memory_bytes(call, "cpu") < 40 * q.nbytes


def test_decoding_keeps_the_window_and_every_state() -> None:
    """From prompts of any length; each state may be stepped from again, however many steps were made after it."""
    window, seq_len = 5, 41
    q, k, v = (x.detach() for x in inputs_of(seq_len))
    module = attnbench.build("sliding_window", 2, HEAD_DIM, window=window).double()
    wanted = dense(q, k, v, window, True)
    for start in (0, 1, 4, 5, 6, 23):
        states = [module.prefill(*(x[:, :, :start] for x in (q, k, v))) if start else module.init_state(1)]
        for _ in range(2):
            for token in range(start, seq_len):
                out, state = module.step(*(x[:, :, token : token + 1] for x in (q, k, v)), states[token - start])
                torch.testing.assert_close(out, wanted[:, :, token : token + 1], rtol=1e-10, atol=1e-12)
                states.append(state)
            states = states[: seq_len - start]


def test_a_decoding_state_is_no_larger_than_two_windows() -> None:
    window = 16
    module = attnbench.build("sliding_window", 2, HEAD_DIM, window=window)
    q, k, v = (x.detach().float() for x in inputs_of(200))
    state, sizes = module.init_state(1), []
    for token in range(200):
        _, state = module.step(*(x[:, :, token : token + 1] for x in (q, k, v)), state)
        assert isinstance(state, WindowCache)
        sizes.append(state.recent._buffers.held[0].shape[2])
    assert max(sizes) == 2 * window and len(set(sizes)) == 2
    prompt = module.prefill(q, k, v).recent
    assert prompt.length == window == prompt._buffers.held[0].shape[2]


@pytest.mark.parametrize("window", [0, -1, 2.5, 3.0, True, "9", None], ids=repr)
def test_a_window_is_a_whole_number_of_at_least_one(window: object) -> None:
    with pytest.raises(BadInput, match=r"window is .*; give a whole number of at least 1"):
        attnbench.build("sliding_window", 2, HEAD_DIM, window=window)


NARROW = {'"window": 512': '"window": 4'}  # so that the eleven tokens of a check are cut
FAULTS = [
    ("forward is a token wider", "matrix", {"windowed_softmax(q, k, v, self.window": "windowed_softmax(q, k, v, self.window + 1"}),
    ("decoding is a token wider", "decode", {"WindowCache(self.window,": "WindowCache(self.window + 1,"}),
    ("decoding forgets a token", "decode", {"WindowCache(self.window,": "WindowCache(self.window - 1,"}),
    ("the definition is a token wider", "rows", {".abs() >= module.window": ".abs() > module.window"}),
    ("the window counts padding", "matrix", {"ranks = token_ranks(seq_len, padding_mask": "ranks = token_ranks(seq_len, None"}),
    ("the future is seen", "causal", {"windowed_softmax(q, k, v, self.window, causal": "windowed_softmax(q, k, v, self.window, False"}),
]


def test_the_narrow_window_passes_what_finds_the_faults() -> None:
    for check in {check for _, check, _ in FAULTS}:
        assert finding("sliding_window", NARROW, check).status == "passed"


@pytest.mark.parametrize(("check", "change"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_planted_fault_is_found(check: str, change: dict[str, str]) -> None:
    assert finding("sliding_window", {**NARROW, **change}, check).status == "failed"
