"""Decaying sums: chunks and segments against the recurrence, decays of any strength, half precision, memory, and states for decoding."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from attnbench.attention import BadInput
from attnbench.kernels import decay_sums as module
from attnbench.kernels import scalar_decay, vector_decay
from attnbench.kernels.decay_state import DecayState
from attnbench.kernels.decay_sums import decay_sums
from attnbench.measurement.memory import peak_memory_bytes
from helpers.decaying_recurrence import recurrence
from helpers.mechanisms import relative_error

BATCH, HEADS, KEY_DIM, VALUE_DIM = 2, 3, 7, 5
CHUNK = scalar_decay.CHUNK["cpu"]
assert vector_decay.CHUNK["cpu"] == CHUNK
LENGTHS = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)
widths = pytest.mark.parametrize("width", [1, KEY_DIM], ids=["scalar", "vector"])


def draw(seq_len: int, width: int, strength: float = 1.0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """q, k, v and log_decay: between 0 and -strength a token."""
    generator = torch.Generator().manual_seed(seq_len)
    shapes = [(BATCH, HEADS, seq_len, size) for size in (KEY_DIM, KEY_DIM, VALUE_DIM)]
    inputs = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    inputs.append(-strength * torch.rand(BATCH, HEADS, seq_len, width, dtype=torch.float64, generator=generator))
    return [x.to(dtype).requires_grad_() for x in inputs]


def differentiated(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    upstream = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return [out, *torch.autograd.grad(out, inputs, upstream)]


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chunks a segment."""
    monkeypatch.setitem(module.SEGMENT_VALUES, "cpu", 2 * CHUNK * BATCH * HEADS * KEY_DIM)


@pytest.mark.parametrize("strength", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("seq_len", LENGTHS)
@widths
def test_sums_and_gradients_are_those_of_the_recurrence(width: int, seq_len: int, strength: float, short_segments: None) -> None:
    """Each gradient by itself: that by a strong decay is many orders smaller than the others, and as exact."""
    inputs = draw(seq_len, width, strength)
    found, wanted = (differentiated(f(*inputs, scale=0.3), inputs) for f in (decay_sums, recurrence))
    for one, other in zip(found, wanted, strict=True):
        assert relative_error(one, other, floor=1e-300) < 1e-12 or not other.any()


@pytest.mark.parametrize("strength", [0.1, 3.0, 30.0])
@widths
def test_in_float32_it_is_as_exact_as_the_recurrence(width: int, strength: float, short_segments: None) -> None:
    exact, inputs = draw(150, width, strength), draw(150, width, strength, torch.float32)
    wanted = differentiated(recurrence(*exact), exact)
    found, plain = (differentiated(f(*inputs), inputs) for f in (decay_sums, recurrence))
    for i, what in enumerate(("out", "q", "k", "v", "log_decay")):
        allowed = 2 * relative_error(plain[i], wanted[i], floor=1e-300) + 2 * torch.finfo(torch.float32).eps
        assert relative_error(found[i], wanted[i], floor=1e-300) < allowed, what


@widths
def test_a_decay_to_nothing_at_once_leaves_each_token_alone(width: int) -> None:
    """And one in the middle of weak ones cuts the sequence in two; nothing overflows, and no gradient is NaN."""
    q, k, v, log_decay = draw(50, width, dtype=torch.float32)
    for nothing in (-1e5, -1e30, -math.inf):
        found = differentiated(decay_sums(q, k, v, torch.full_like(log_decay, nothing).requires_grad_()), [q, k, v])
        torch.testing.assert_close(found[0], (q * k).sum(-1, keepdim=True) * v)
        cut = log_decay.detach().clone()
        cut[:, :, 20] = nothing
        leaves = [q, k, v, cut.requires_grad_()]
        found = differentiated(decay_sums(*leaves), leaves)
        alone = decay_sums(q[:, :, 20:], k[:, :, 20:], v[:, :, 20:], log_decay[:, :, 20:])
        torch.testing.assert_close(found[0][:, :, 20:], alone)
        assert all(x.isfinite().all() for x in found)


def test_one_decay_for_all_tokens_and_sequences_is_that_of_each(short_segments: None) -> None:
    q, k, v, _ = draw(100, 1)
    constant = -torch.rand(1, HEADS, 1, 1, dtype=torch.float64)
    each = constant.expand(1, HEADS, 100, 1).clone().requires_grad_()
    found, wanted = differentiated(decay_sums(q, k, v, constant), [q, k, v]), differentiated(decay_sums(q, k, v, each), [q, k, v, each])
    for one, other in zip(found, wanted, strict=False):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    by_recurrence = differentiated(recurrence(q, k, v, each.expand(BATCH, -1, -1, -1)), [each])[1]
    torch.testing.assert_close(wanted[4], by_recurrence, rtol=1e-12, atol=1e-12)  # summed over the sequences that share it


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@widths
def test_half_precision_is_rounded_once(width: int, dtype: torch.dtype) -> None:
    inputs = [x.detach().to(dtype) for x in draw(100, width, 0.1)]
    inputs[3] = inputs[3].float()
    out = decay_sums(*inputs)
    assert out.dtype == dtype
    assert relative_error(out, recurrence(*(x.double() for x in inputs))) < torch.finfo(dtype).eps / 2


@widths
def test_autocast_rounds_nothing(width: int) -> None:
    inputs = draw(100, width, dtype=torch.float32)
    wanted = differentiated(decay_sums(*inputs), inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = differentiated(decay_sums(*inputs), inputs)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@widths
def test_memory_of_training_grows_with_the_length_at_most(width: int, short_segments: None) -> None:
    """States are kept once a segment; what a segment needs comes on top, and does not grow."""
    peaks = {}
    for seq_len in (1024, 2048):
        inputs = draw(seq_len, width, dtype=torch.float32)
        upstream = torch.ones(BATCH, HEADS, seq_len, VALUE_DIM)

        def call(_: int, inputs: list[Tensor] = inputs, upstream: Tensor = upstream) -> object:
            return torch.autograd.grad(decay_sums(*inputs), inputs, upstream)

        call(0)
        peaks[seq_len] = peak_memory_bytes(call, "cpu")
    assert peaks[2048] < 2 * peaks[1024]
    more_inputs = 1024 * BATCH * HEADS * (2 * KEY_DIM + VALUE_DIM + width) * 4
    assert peaks[2048] - peaks[1024] < 1.5 * more_inputs  # their output, their gradients and their states


@widths
def test_it_can_be_mapped(width: int, short_segments: None) -> None:
    """Over all inputs, and with decays that all elements and sequences share."""
    drawn = [draw(70, width) for _ in range(3)]
    stacked = [torch.stack(list(x)).detach() for x in zip(*drawn, strict=True)]
    found = torch.func.vmap(decay_sums)(*stacked)
    torch.testing.assert_close(found, torch.stack([decay_sums(*inputs) for inputs in drawn]))
    shared = stacked[3][0, :1]
    found = torch.func.vmap(decay_sums, in_dims=(1, 1, 1, None))(*(x.transpose(0, 1) for x in stacked[:3]), shared)
    torch.testing.assert_close(found, torch.stack([decay_sums(*inputs[:3], shared) for inputs in drawn]))


@widths
def test_a_state_of_many_tokens_is_that_of_one_after_the_other(width: int) -> None:
    q, k, v, log_decay = (x.detach() for x in draw(50, width, 3.0))
    one_by_one, wanted = DecayState(BATCH), recurrence(q, k, v, log_decay)
    for i in range(50):
        at = slice(i, i + 1)
        one_by_one = one_by_one.add(k[:, :, at], v[:, :, at], log_decay[:, :, at])
        torch.testing.assert_close(one_by_one.read(q[:, :, at]), wanted[:, :, at])
    half = DecayState(BATCH).add(k[:, :, :20], v[:, :, :20], log_decay[:, :, :20])
    whole = half.add(k[:, :, 20:], v[:, :, 20:], log_decay[:, :, 20:])
    torch.testing.assert_close(whole.total, one_by_one.total)


def test_a_state_of_another_batch_is_refused() -> None:
    _, k, v, log_decay = draw(1, 1)
    with pytest.raises(BadInput, match=r"of 2 sequences, its state of 3; make the state with init_state\(2\)"):
        DecayState(3).add(k, v, log_decay)
