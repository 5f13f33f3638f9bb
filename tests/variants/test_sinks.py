"""softmax_one, sink and softpick, whose rows may sum to less than one: by hand, at their limits, and with faults planted in their files.

The dense definitions of all three are in test_softmax_peers.py.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.variants.softmax_one import over_zero_key
from helpers.mechanisms import draw, make, masks, relative_error
from helpers.naive_forms import naive_form
from helpers.planted_faults import finding

causal_or_not = pytest.mark.parametrize("causal", [False, True])
Q = torch.tensor([[1.0, 0.0, 0.0, 0.0]])  # head_dim 4, so that sqrt(d) is 2


def keys(*scores: float) -> Tensor:
    """Keys of one head of which a query Q has these scores."""
    return torch.tensor([[2.0 * score, 0.0, 0.0, 0.0] for score in scores])[None, None]


def values(*rows: list[float]) -> Tensor:
    return torch.tensor([[*row, 0.0, 0.0] for row in rows])[None, None]


def test_sink_by_hand() -> None:
    """Scores 0 and log 2 beside a logit of log 5: weights 1/8 and 2/8; each head has its own."""
    module = attnbench.build("sink", num_heads=2, head_dim=4)
    assert torch.equal(module.sink_logit.detach(), torch.zeros(2))
    with torch.no_grad():
        module.sink_logit[0] = math.log(5.0)
    q, k = Q.expand(1, 2, 2, 4), keys(0.0, math.log(2.0)).expand(1, 2, 2, 4)
    v = values([8.0, 0.0], [0.0, 4.0]).expand(1, 2, 2, 4)
    torch.testing.assert_close(module(q, k, v)[0, :, 1], torch.tensor([[1.0, 1.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0]]))
    torch.testing.assert_close(module(q, k, v, causal=True)[0, :, 0], torch.tensor([[8.0 / 6.0, 0.0, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0]]))
    mask = torch.tensor([[True, False]])
    hidden = module(q, k, v, padding_mask=mask)[0]
    torch.testing.assert_close(hidden[0], torch.tensor([[0.0] * 4, [0.0, 8.0 / 7.0, 0.0, 0.0]]))


@causal_or_not
@pytest.mark.parametrize("padded", [False, True])
def test_sink_starts_as_softmax_one(causal: bool, padded: bool) -> None:
    mask = masks(("right", "left", "holes", "all", "none"), "cpu") if padded else None
    q, k, v = draw("sink", batch=5).values()
    start = attnbench.build("sink", q.shape[1], q.shape[3])
    one = attnbench.build("softmax_one", q.shape[1], q.shape[3])
    assert torch.equal(start(q, k, v, causal=causal, padding_mask=mask), one(q, k, v, causal=causal, padding_mask=mask))


@causal_or_not
@pytest.mark.parametrize("logit", [-1e4, -60.0, 60.0, 1e4])
def test_the_logit_may_be_far_from_the_scores(logit: float, causal: bool) -> None:
    """From plain softmax to nothing, with finite gradients."""
    inputs = [x.requires_grad_() for x in draw("sink").values()]
    module = attnbench.build("sink", inputs[0].shape[1], inputs[0].shape[3])
    with torch.no_grad():
        module.sink_logit.fill_(logit)
    out = module(*inputs, causal=causal)
    wanted = torch.zeros_like(out) if logit > 0 else torch.nn.functional.scaled_dot_product_attention(*inputs, is_causal=causal)
    torch.testing.assert_close(out, wanted)
    assert all(x.isfinite().all() for x in torch.autograd.grad(out.square().sum(), [*inputs, module.sink_logit]))


@pytest.mark.long
@pytest.mark.parametrize("name", ["sink", "softmax_one"])
def test_sinks_agree_with_the_package(name: str) -> None:
    theirs = naive_form("attn")
    inputs = draw(name, seq_len=100)
    module = make(name, 100)
    logits = module.sink_logit.detach() if name == "sink" else torch.zeros(inputs["q"].shape[1])
    for causal in (False, True):
        out, _ = theirs.naive_parallel_attn(*(x.transpose(1, 2) for x in inputs.values()), causal=causal, sink_bias=logits)
        assert relative_error(module(*inputs.values(), causal=causal), out.transpose(1, 2)) < 1e-6


@causal_or_not
@pytest.mark.parametrize("padded", [False, True])
def test_softmax_one_over_a_zero_key_is_the_same(causal: bool, padded: bool) -> None:
    """The form of other devices."""
    mask = masks(("right", "left", "holes", "all", "none"), "cpu") if padded else None
    q, k, v = (x.double() for x in draw("softmax_one", batch=5).values())
    torch.testing.assert_close(over_zero_key(q, k, v, causal, mask), make("softmax_one")(q, k, v, causal=causal, padding_mask=mask))


def test_softpick_by_hand() -> None:
    """Scores log 3, log 2, 0 and -log 2: e^s - 1 is 2, 1, 0 and -1/2, of which the absolute values sum to 3.5."""
    module = attnbench.build("softpick", num_heads=1, head_dim=4)
    q, k = Q.expand(1, 1, 4, 4), keys(math.log(3.0), math.log(2.0), 0.0, -math.log(2.0))
    v = values([7.0, 0.0], [0.0, 7.0], [100.0, 100.0], [100.0, 100.0])
    last = [4.0, 2.0, 0.0, 0.0]
    torch.testing.assert_close(module(q, k, v)[0, 0], torch.tensor([last] * 4))
    first, second = [7.0, 0.0, 0.0, 0.0], [14.0 / 3.0, 7.0 / 3.0, 0.0, 0.0]
    torch.testing.assert_close(module(q, k, v, causal=True)[0, 0], torch.tensor([first, second, second, last]))
    mask = torch.tensor([[False, False, False, True]])
    torch.testing.assert_close(module(q, k, v, padding_mask=mask)[0, 0], torch.tensor([second] * 3 + [[0.0] * 4]))


@causal_or_not
def test_softpick_attends_to_nothing_where_no_score_is_positive(causal: bool) -> None:
    """And divides by no zero where all of them are zero: the gradients are then zero too."""
    module = attnbench.build("softpick", num_heads=1, head_dim=4)
    q, v = torch.full((1, 1, 5, 4), 30.0), torch.ones(1, 1, 5, 4)
    assert not module(q, -q, v, causal=causal).any()
    torch.testing.assert_close(module(q, q, v, causal=causal), v)
    zeros = [torch.zeros_like(v, requires_grad=True) for _ in range(2)]
    out = module(*zeros, v, causal=causal)
    assert not out.any() and not any(x.any() for x in torch.autograd.grad(out.sum(), zeros))


@pytest.mark.parametrize("score", [1e-8, 3e-4, 40.0])
def test_where_the_epsilon_of_softpick_stands(score: float) -> None:
    """Beside the sum relative to e^m: half of the weight at a score of 1e-8, and nothing to see at larger ones, however large."""
    module = attnbench.build("softpick", num_heads=1, head_dim=4).double()
    out = module(Q.expand(1, 1, 1, 4).double(), 2.0 * score * Q.expand(1, 1, 1, 4).double(), torch.ones(1, 1, 1, 4, dtype=torch.float64))
    share = -math.expm1(-score) / (-math.expm1(-score) + 1e-8)
    torch.testing.assert_close(out, torch.full_like(out, share), rtol=1e-12, atol=0.0)


FORWARD = "return sink_attention(q, k, v, self.sink_logit, causal, padding_mask)"
SUMS = "normalised_sums(_scaled(q), k, v, RectifiedExponential(), causal)"
QUOTIENT = "(total / (sums + EPSILON)).to(v.dtype))[0]"
HIDE = "q, k, v = hide_padding(padding_mask, q, k, v)"
FAULTS = [
    ("sink", "b of the wrong sign", FORWARD, FORWARD.replace("self.", "-self."), "matrix"),
    ("sink", "b twice", FORWARD, FORWARD.replace("self.", "2 * self."), "matrix"),
    ("sink", "b of another head", FORWARD, FORWARD.replace("logit", "logit.roll(1)"), "matrix"),
    ("sink", "no gradient of b", FORWARD, FORWARD.replace("logit", "logit.detach()"), "gradients"),
    ("sink", "no padding", FORWARD, FORWARD.replace("padding_mask", "None"), "padding"),
    ("sink", "no causality", FORWARD, FORWARD.replace("causal", "False"), "causal"),
    ("sink", "no sink in step", "sink_step(q, state, self.sink_logit)", "sink_step(q, state, -math.inf)", "decode"),
    ("sink", "rows with a sink of 1", "(logit - largest).exp() + weights", "1.0 + weights", "rows"),
    ("softmax_one", "two in the denominator", "k, v, 0.0, causal", "k, v, math.log(2.0), causal", "matrix"),
    ("softmax_one", "no zero key in the state", "state.append(F.pad(k, FRONT_ROW), F.pad(v, FRONT_ROW))", "state.append(k, v)", "decode"),
    ("softpick", "no denominator", QUOTIENT, QUOTIENT.replace("sums + EPSILON", "1.0"), "matrix"),
    ("softpick", "a large epsilon", SUMS, f"{SUMS}\n        sums = sums + 1e-2", "matrix"),
    ("softpick", "keys of padding count", HIDE, "q, v = hide_padding(padding_mask, q, v)", "padding"),
    ("softpick", "no scale in step", "normalised_step(_scaled(q)", "normalised_step(q", "decode"),
    ("softpick", "the denominator of softmax", "above.abs().sum", "(scores - largest).exp().sum", "matrix"),
    ("softpick", "negative weights", "above.relu() /", "above /", "matrix"),
    ("softpick", "no absolute value", "above.abs().sum", "above.relu().sum", "matrix"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fault", "old", "new", "check"), FAULTS, ids=[f"{name}: {fault}" for name, fault, *_ in FAULTS])
def test_a_planted_fault_is_found(name: str, fault: str, old: str, new: str, check: str) -> None:
    found = finding(name, {old: new}, check)
    assert found.status == "failed", found.detail
