"""retention, gla and mamba2: by hand, token by token, against flash-linear-attention, and with faults planted in their files."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attnbench
from attnbench import registry
from attnbench.errors import BadInput
from helpers.decaying_recurrence import token_by_token
from helpers.mechanisms import relative_error
from helpers.naive_forms import naive_form
from helpers.planted_faults import finding
from helpers.token_by_token import check_exactness

HEADS, HEAD_DIM, D_MODEL = 4, 8, 24
NAMES = ("retention", "gla", "mamba2")
names = pytest.mark.parametrize("name", NAMES)
Inputs = dict[str, Tensor]


def make(name: str, heads: int = HEADS, **params: Any) -> nn.Module:
    torch.manual_seed(3)
    return attnbench.build(name, heads, HEAD_DIM, d_model=D_MODEL, **params)


def draw(name: str, seq_len: int, dtype: torch.dtype = torch.float64, size: float = 1.0) -> Inputs:
    """q, k, v and, but for retention, hidden states of some size: the larger, the stronger the decay."""
    generator = torch.Generator().manual_seed(seq_len)
    inputs = {key: torch.randn(1, HEADS, seq_len, HEAD_DIM, dtype=torch.float64, generator=generator) for key in "qkv"}
    if name != "retention":
        inputs["hidden"] = size * torch.randn(1, seq_len, D_MODEL, dtype=torch.float64, generator=generator)
    return {key: x.to(dtype) for key, x in inputs.items()}


def row(*values: float) -> Tensor:
    """One sequence of tokens with one head of one dimension."""
    return torch.tensor(values, dtype=torch.float64)[None, None, :, None]


def test_retention_by_hand() -> None:
    """The first head keeps 31/32 a token; the second 63/64."""
    ones = torch.ones(1, 2, 3, 1, dtype=torch.float64)
    v = torch.cat([row(32.0, 32.0**2, 0.0), row(64.0, 0.0, 64.0**2)], 1)
    module = attnbench.build("retention", 2, 1)
    torch.testing.assert_close(
        module(ones, ones, v, causal=True),
        torch.cat([row(32.0, 31.0 + 32.0**2, 31.0**2 / 32 + 31.0 * 32), row(64.0, 63.0, 63.0**2 / 64 + 64.0**2)], 1),
    )
    torch.testing.assert_close(module(ones, ones, v)[:, :1], row(32.0 + 31 * 32, 31.0 + 32.0**2, 31.0**2 / 32 + 31 * 32))
    torch.testing.assert_close(module(ones, ones, v)[:, 1:], row(64.0 + 63.0**2, 63.0 + 63 * 64, 63.0**2 / 64 + 64.0**2))
    # A hole does not fade a key: the third token is the one after the first.
    hole = torch.tensor([[False, True, False]])
    torch.testing.assert_close(module(ones, ones, v, padding_mask=hole)[:, :1], row(32.0, 0.0, 31.0))


def test_gla_by_hand() -> None:
    """With a hidden state of zero g = log(sigmoid(b)) / 16; d = 2, so that the sums are over sqrt(2)."""
    module = attnbench.build("gla", 1, 2, d_model=3)
    with torch.no_grad():
        module.b.copy_(torch.tensor([[-math.log(2**16 - 1.0), 50.0]]))  # decays of 1/2 and 1
    ones, hidden = torch.ones(1, 1, 3, 2), torch.zeros(1, 3, 3)
    v = torch.tensor([8.0, 4.0, 2.0])[None, None, :, None].expand(1, 1, 3, 2)
    out = module(ones, ones, v, causal=True, hidden=hidden)
    expected = torch.tensor([8.0 + 8.0, 4.0 + 4.0 + 12.0, 2.0 + 2.0 + 2.0 + 14.0]) / math.sqrt(2.0)
    torch.testing.assert_close(out, expected[None, None, :, None].expand(1, 1, 3, 2), rtol=1e-5, atol=0.0)


def test_mamba2_by_hand() -> None:
    """dt = 2 and e^a = log(2) / 2, so that each token halves the state; D = 3."""
    module = attnbench.build("mamba2", 1, 1, d_model=2).double()
    with torch.no_grad():
        module.w.zero_()
        module.b.fill_(math.log(math.expm1(2.0)))
        module.a.fill_(math.log(math.log(2.0) / 2.0))
        module.d.fill_(3.0)
    ones, v, hidden = row(1.0, 1.0, 1.0), row(8.0, 4.0, 2.0), torch.zeros(1, 3, 2, dtype=torch.float64)
    out = module(ones, ones, v, causal=True, hidden=hidden)
    torch.testing.assert_close(out, 2 * row(8.0, 4.0 + 4.0, 2.0 + 2.0 + 2.0) + 3 * v)


@pytest.mark.parametrize("seq_len", [1, 63, 1000, pytest.param(4097, marks=pytest.mark.long)])
@pytest.mark.parametrize(("name", "size"), [("retention", 1.0), ("gla", 1.0), ("gla", 8.0), ("mamba2", 1.0), ("mamba2", 8.0)])
def test_it_is_as_exact_as_token_by_token_in_float32(name: str, seq_len: int, size: float) -> None:
    check_exactness(partial(token_by_token, name), make(name), draw(name, seq_len, torch.float32, size))


@pytest.mark.parametrize(("name", "size"), [("retention", 1.0), ("gla", 1.0), ("gla", 40.0), ("mamba2", 1.0)])
def test_the_rows_by_definition_are_those_of_the_recurrence(name: str, size: float) -> None:
    """Beyond the blocks in which gla's are made, whose seams are at 64 and 128, in any order, with all gradients."""
    variant, module, rows = registry.load("variants", name), make(name).double(), torch.tensor([129, 5, 128, 64, 0, 63, 127, 65])
    found, wanted = ({key: x.requires_grad_() for key, x in draw(name, 130, size=size).items()} for _ in range(2))
    q, k, v, *hidden = found.values()
    out = variant.reference_rows(module, q, k, v, rows, True, None, **dict(zip(["hidden"], hidden, strict=False)))
    exact = token_by_token(name, module, wanted)[:, :, rows]
    torch.testing.assert_close(out, exact, rtol=1e-11, atol=1e-12)
    upstream = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for one, other in zip(*(torch.autograd.grad(of, list(x.values()), upstream) for of, x in ((out, found), (exact, wanted))), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("seq_len", [1, 100])
def test_bidirectional_retention_is_the_dense_sum(seq_len: int) -> None:
    inputs = draw("retention", seq_len)
    positions = torch.arange(seq_len)
    gamma = 1.0 - 2.0 ** (-5.0 - torch.arange(HEADS, dtype=torch.float64))
    fading = gamma[:, None, None] ** (positions[:, None] - positions).abs()
    expected = (inputs["q"] @ inputs["k"].mT / math.sqrt(HEAD_DIM) * fading) @ inputs["v"]
    torch.testing.assert_close(make("retention")(**inputs), expected, rtol=1e-12, atol=1e-12)


@names
def test_mixed_precision_rounds_nothing(name: str) -> None:
    """Neither gates nor sums."""
    module, inputs = make(name), draw(name, 100, torch.float32)
    wanted = module(**inputs, causal=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module(**inputs, causal=True), wanted)


@pytest.mark.parametrize("size", [100.0, 1e4])
@pytest.mark.parametrize("name", ["gla", "mamba2"])
def test_gates_of_any_strength_are_finite(name: str, size: float) -> None:
    """Decays from nothing to all within a chunk; no exponent is positive, so that none overflows."""
    module, inputs = make(name), {key: x.requires_grad_() for key, x in draw(name, 200, torch.float32, size).items()}
    out = module(**inputs, causal=True)
    assert out.isfinite().all()
    gradients = torch.autograd.grad(out.sum(), [*inputs.values(), *module.parameters()])
    assert all(x.isfinite().all() for x in gradients)


def theirs(x: Tensor) -> Tensor:
    """[batch, heads, seq_len, ...] as [batch, seq_len, heads, ...], or back."""
    return x.transpose(1, 2)


@pytest.mark.long
def test_retention_agrees_with_the_package() -> None:
    """This form of theirs has heads before tokens, as ours. They compute in float32 whatever comes."""
    inputs = draw("retention", 100, torch.float32)
    found = make("retention")(**inputs, causal=True)
    assert relative_error(found, naive_form("retention").naive_retention(*inputs.values())) < 1e-5


@pytest.mark.long
def test_gla_agrees_with_the_package() -> None:
    module, inputs = make("gla"), draw("gla", 100, torch.float32)
    logits = inputs["hidden"] @ module.w_1.mT @ module.w_2.flatten(0, 1).mT + module.b.flatten()
    g = (F.logsigmoid(logits) / 16).unflatten(-1, (HEADS, HEAD_DIM))
    out, *_ = naive_form("gla").naive_recurrent_gla(*(theirs(inputs[key]) for key in "qkv"), g)
    assert relative_error(module(**inputs, causal=True), theirs(out)) < 1e-5


@pytest.mark.long
def test_mamba2_agrees_with_the_package() -> None:
    module, inputs = make("mamba2"), draw("mamba2", 100, torch.float32)
    dt = F.softplus(inputs["hidden"] @ module.w.mT + module.b)
    keys, values = theirs(inputs["k"]) * dt[..., None], theirs(inputs["v"])
    g = -module.a.exp() * dt
    out, *_ = naive_form("simple_gla").naive_recurrent_simple_gla(theirs(inputs["q"]), keys, values, g, scale=1.0)
    out = out + values * module.d[:, None]
    assert relative_error(module(**inputs, causal=True), theirs(out)) < 1e-5


def test_mamba2_starts_as_published() -> None:
    """Over many heads: e^a uniform in [1, 16], softplus(b) log-uniform in [.001, .1], D = 1, w uniform within 1/sqrt(d_model)."""
    module = make("mamba2", heads=4000).double()
    rates, dt = module.a.exp(), F.softplus(module.b).log()
    limits = (math.log(0.001), math.log(0.1))
    for x, (low, high) in ((rates, (1.0, 16.0)), (dt, limits), (module.w, (-(D_MODEL**-0.5), D_MODEL**-0.5))):
        shares = (x.detach() - low) / (high - low)
        assert -1e-6 <= float(shares.min()) < 0.01 and 0.99 < float(shares.max()) <= 1.0 + 1e-6
        assert abs(float(shares.mean()) - 0.5) < 0.03
    assert module.d.eq(1.0).all()


def test_gla_starts_as_published() -> None:
    module = make("gla", heads=50)
    for x, bound in ((module.w_1, D_MODEL**-0.5), (module.w_2, 16**-0.5)):
        assert 0.95 * bound < float(x.detach().abs().max()) <= bound and abs(float(x.detach().mean())) < 0.1 * bound
    assert not module.b.any() and module.w_1.shape == (16, D_MODEL) and module.w_2.shape == (50, HEAD_DIM, 16)


@pytest.mark.parametrize("rank", [0, 2.0, True, "16", None])
def test_gla_takes_a_rank_that_is_a_whole_number(rank: object) -> None:
    with pytest.raises(BadInput, match="give a whole number of at least 1"):
        make("gla", rank=rank)


@names
def test_states_leave_each_other_alone(name: str) -> None:
    """All states of a sequence stay good at once, and do not grow."""
    module, inputs = make(name).double(), draw(name, 9)
    at = {key: x[..., :8, :] for key, x in inputs.items()}
    more = {key: x[..., 8:, :] for key, x in inputs.items()}
    state = module.prefill(**at)
    first, after = module.step(**more, state=state)
    _, other = module.step(**{key: 2.0 * x for key, x in more.items()}, state=state)
    assert torch.equal(module.step(**more, state=state)[0], first)
    assert after.total.shape == other.total.shape == (1, HEADS, HEAD_DIM, HEAD_DIM)


RETENTION_CAUSAL = "return decay_sums(q, k, v, log_decay, scale)"
GLA_SUMS = "decay_sums(q, k, v, self._log_decay(hidden, padding_mask), "
MAMBA2_SUMS = "decay_sums(q, at_least_float32(k) * dt, at_least_float32(v), log_decay)"
SKIP = '\n        return (out + per_head(self, "d", out) * v).to(v.dtype)'
GLA_HIDDEN = "return hide_padding(padding_mask, log_decay)[0]"
MAMBA2_DECAY = 'hide_padding(padding_mask, dt * -per_head(self, "a", dt).exp())'
FAULTS = [
    ("retention", "heads from 1", "-5.0 - head)", "-6.0 - head)", "rows"),
    ("retention", "decay after the token", RETENTION_CAUSAL, RETENTION_CAUSAL.replace("k,", "k * log_decay.exp(),"), "matrix"),
    ("retention", "decay twice", RETENTION_CAUSAL, RETENTION_CAUSAL.replace("log_decay,", "2 * log_decay,"), "matrix"),
    ("retention", "no decay", RETENTION_CAUSAL, RETENTION_CAUSAL.replace("log_decay,", "0 * log_decay,"), "matrix"),
    ("retention", "the row itself twice", "until + since - own", "until + since", "matrix"),
    ("retention", "holes fade keys", "padding_mask[:, None, :, None], 0.0)", "padding_mask[:, None, :, None], -1.0)", "matrix"),
    ("retention", "no scale in step", "(state.read(q) / math.sqrt(q.shape[-1]))", "state.read(q)", "decode"),
    ("retention", "a state that does not fade", "state = state.add(k, v, _log_gamma(q))",
     "state = state.add(k, v, 0 * _log_gamma(q))", "decode"),
    ("gla", "decay of the token before", GLA_SUMS, GLA_SUMS.replace("mask),", "mask).roll(1, 2),"), "matrix"),
    ("gla", "decay after the token", GLA_SUMS, GLA_SUMS.replace("k,", "k * self._log_decay(hidden, padding_mask).exp(),"), "matrix"),
    ("gla", "decay twice", "/ TEMPERATURE", "/ (TEMPERATURE / 2)", "rows"),
    ("gla", "no bias", "self.w_2.flatten(0, 1), self.b.flatten())", "self.w_2.flatten(0, 1))", "rows"),
    ("gla", "padding moves the state", GLA_HIDDEN, "return log_decay", "padding_alone"),
    ("gla", "padding moves the state, by its rows", GLA_HIDDEN, "return log_decay", "rows"),
    ("gla", "one decay for all dimensions", "mask), scale", "mask).mean(-1, keepdim=True), scale", "matrix"),
    ("gla", "a state that does not fade", "state = state.add(k, v, self._log_decay(hidden, None))",
     "state = state.add(k, v, 0 * self._log_decay(hidden, None))", "decode"),
    ("mamba2", "decay of the token before", MAMBA2_SUMS, MAMBA2_SUMS.replace("log_decay)", "log_decay.roll(1, 2))"), "matrix"),
    ("mamba2", "decay after the token", MAMBA2_SUMS, MAMBA2_SUMS.replace("* dt", "* dt * log_decay.exp()"), "matrix"),
    ("mamba2", "decay twice", MAMBA2_DECAY, MAMBA2_DECAY.replace("dt *", "2 * dt *"), "rows"),
    ("mamba2", "no dt", MAMBA2_SUMS, MAMBA2_SUMS.replace(" * dt", ""), "matrix"),
    ("mamba2", "no dt anywhere", "return dt, log_decay", "return dt / dt, log_decay", "rows"),
    ("mamba2", "no D", f"out = {MAMBA2_SUMS}{SKIP}", f"return {MAMBA2_SUMS}.to(v.dtype)", "matrix"),
    ("mamba2", "no D in step", f"out = state.read(q){SKIP}", "return state.read(q).to(v.dtype)", "decode"),
    ("mamba2", "padding moves the state", MAMBA2_DECAY, MAMBA2_DECAY.replace("padding_mask", "None"), "padding_alone"),
    ("mamba2", "no bias", "self.w, self.b)", "self.w)", "rows"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fault", "old", "new", "check"), FAULTS, ids=[f"{name}: {fault}" for name, fault, *_ in FAULTS])
def test_a_planted_fault_is_found(name: str, fault: str, old: str, new: str, check: str) -> None:
    found = finding(name, {old: new}, check)
    assert found.status == "failed" and "relative difference" in found.detail, found.detail
