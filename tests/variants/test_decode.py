"""Decoding, beyond the check `decode`, which holds steps in float64 and float32 against causal forward for every mechanism.

Here: bfloat16, views, a single token, sums that fold many times, large keys, and what is refused.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench.attention import BadInput, Heads, Unsupported
from attnbench.kernels.cache import Cache, product_in_half
from attnbench.kernels.running_sums import RunningSums
from attnbench.measurement.prefill import prefilled
from helpers.mechanisms import BATCH, DECODING, RUNNABLE, VARIANTS, Inputs, attend, decoding, draw, make, relative_error, state_after, step


def test_every_causal_mechanism_of_ours_decodes() -> None:
    assert set(DECODING) == {name for name in RUNNABLE if VARIANTS[name].causal}


def decoded(module: nn.Module, inputs: Inputs, start: int = 0) -> Tensor:
    state, outs = state_after(module, inputs, start), []
    for token in range(start, inputs["v"].shape[2]):
        out, state = step(module, inputs, token, state)
        outs.append(out)
    return torch.cat(outs, 2)


@decoding
def test_steps_in_bfloat16_agree_with_causal_forward(name: str) -> None:
    """The error against float64 is at most twice that of forward in bfloat16, and four units; from one token on, and from many."""
    module = make(name, 33).bfloat16()
    inputs = {key: x.bfloat16() for key, x in draw(name, seq_len=33).items()}
    exact = attend(copy.deepcopy(module).double(), {key: x.double() for key, x in inputs.items()}, causal=True)
    allowed = 2 * relative_error(attend(module, inputs, causal=True), exact) + 4 * torch.finfo(torch.bfloat16).eps
    for start in (0, 16, 32):
        out = decoded(module, inputs, start)
        assert out.dtype == torch.bfloat16
        assert relative_error(out, exact[:, :, start:]) < allowed, start


@decoding
def test_a_sequence_of_one_token_is_decoded(name: str) -> None:
    module, inputs = make(name, 1).double(), {key: x.double() for key, x in draw(name, seq_len=1).items()}
    assert relative_error(decoded(module, inputs), attend(module, inputs, causal=True)) < 1e-12


@decoding
def test_transposed_views_are_decoded_too(name: str) -> None:
    module, inputs = make(name), draw(name)
    views = {key: x.transpose(1, 2).contiguous().transpose(1, 2) for key, x in inputs.items()}
    assert relative_error(decoded(module, views, 4), decoded(module, inputs, 4)) < 1e-6


FOLDING = [
    ("polynomial", {"degree": 1}),
    ("polynomial", {"degree": 2, "scale": "learned"}),
    ("polynomial", {"degree": (3, 1), "scale": 1 / 14}),
    ("power", {"degree": 4}),
    ("taylor", {}),
]


@pytest.mark.parametrize(("name", "params"), FOLDING, ids=str)
@pytest.mark.parametrize("start", [0, 50, 126])
def test_tokens_folded_into_sums_count_as_before(name: str, params: dict[str, Any], start: int) -> None:
    """At head_dim 4 every one of them folds at least three times in 127 tokens; 126 is a multiple of some of their lengths."""
    module = attnbench.build(name, num_heads=3, head_dim=4, **params).double()
    inputs = {key: x.double() for key, x in draw("softmax", seq_len=127, head_dim=4).items()}
    assert state_after(module, inputs, 127).folded >= 63
    with torch.no_grad():
        expected = attend(module, inputs, causal=True)[:, :, start:]
    assert relative_error(decoded(module, inputs, start), expected) < 1e-11


@pytest.mark.parametrize("late", [0.1, 6.0])
def test_performer_survives_keys_of_any_size(late: float) -> None:
    """The logarithmic factors of the keys differ by hundreds, whichever come first."""
    module = make("performer")
    inputs = {key: 6.0 * x if key == "k" else x for key, x in draw("performer", seq_len=40).items()}
    inputs["k"][:, :, 20:] *= late / 6.0
    exact = attend(copy.deepcopy(module).double(), {key: x.double() for key, x in inputs.items()}, causal=True)
    assert relative_error(decoded(module, inputs), exact) < 1e-4


def test_cosformer_refuses_more_tokens_than_it_was_built_for() -> None:
    module, inputs = make("cosformer", seq_len=5), draw("cosformer", seq_len=6)
    state = state_after(module, inputs, 5)
    with pytest.raises(BadInput, match=r"6 tokens.*beyond 5"):
        step(module, inputs, 5, state)


def test_the_initial_state_is_that_of_no_tokens() -> None:
    module, inputs = make("softmax"), draw("softmax")
    out, _ = step(module, inputs, 0, prefilled(module, *(inputs[key][:, :, :0] for key in "qkv")))
    torch.testing.assert_close(out, inputs["v"][:, :, :1])


class Counting(nn.Module):
    """Adds up what it is given; without `prefill`, and with hidden states."""

    def init_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size)

    def step(self, q: Heads, k: Heads, v: Heads, state: Tensor, hidden: Tensor) -> tuple[Heads, Tensor]:
        assert hidden.shape == (len(v), 1, v.shape[1] * v.shape[3])
        return v, state + v.sum((1, 2, 3)) + hidden.sum((1, 2))


def test_a_mechanism_without_prefill_is_stepped_through() -> None:
    inputs, hidden = draw("softmax"), torch.randn(BATCH, 11, 15)
    state = prefilled(Counting(), inputs["q"], inputs["k"], inputs["v"], hidden)
    torch.testing.assert_close(state, inputs["v"].sum((1, 2, 3)) + hidden.sum((1, 2)))


def test_a_mechanism_without_a_decode_form_is_unsupported() -> None:
    inputs = draw("orthogonal")
    with pytest.raises(Unsupported, match=r"has no decode form: \w+ has no init_state\(batch_size\) and step"):
        prefilled(make("orthogonal"), inputs["q"], inputs["k"], inputs["v"])


@pytest.mark.parametrize("state", [Cache(3), RunningSums(3)], ids=["cache", "sums"])
def test_a_state_of_another_batch_is_refused(state: Cache | RunningSums) -> None:
    inputs = draw("softmax", seq_len=1)
    with pytest.raises(BadInput, match=r"of 2 sequences, its state of 3; make the state with init_state\(2\)"):
        state.append(inputs["k"], inputs["v"]) if isinstance(state, Cache) else state.add(inputs["k"], inputs["v"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [1e-7, 1.0, 1e7])
def test_a_product_in_half_precision_keeps_range_and_digits(size: float, dtype: torch.dtype) -> None:
    """Weights below and above the range of float16, and a row of zeros."""
    torch.manual_seed(0)
    x, y = size * torch.rand(2, 1, 5000), torch.randn(2, 5000, 7).to(dtype)
    x[1] = 0.0
    found = product_in_half(x, y)
    assert found.dtype == torch.float32
    assert relative_error(found[0] / size, x[0].double() / size @ y[0].double()) < 4 * torch.finfo(dtype).eps
    assert not found[1].any()
