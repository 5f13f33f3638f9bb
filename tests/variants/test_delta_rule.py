"""deltanet and gated_deltanet: by hand, token by token, against flash-linear-attention, and with faults planted in their files."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attnbench
from attnbench.errors import BadInput
from attnbench.kernels.delta_rule_step import DeltaState
from helpers.delta_recurrence import token_by_token
from helpers.mechanisms import relative_error
from helpers.naive_forms import naive_form
from helpers.planted_faults import finding
from helpers.token_by_token import check_exactness

# Of a parameter with a number for each of a few heads the plain form's error may by chance be little.
HEADS, HEAD_DIM, D_MODEL = 16, 8, 24
NAMES = ("deltanet", "gated_deltanet")
names = pytest.mark.parametrize("name", NAMES)
Inputs = dict[str, Tensor]


def make(name: str, heads: int = HEADS) -> nn.Module:
    torch.manual_seed(3)
    return attnbench.build(name, heads, HEAD_DIM, d_model=D_MODEL)


def draw(seq_len: int, dtype: torch.dtype = torch.float64, size: float = 1.0) -> Inputs:
    """q, k, v and hidden states of some size: the larger, the stronger the decay, and the nearer beta to 0 or 1."""
    generator = torch.Generator().manual_seed(seq_len)
    inputs = {key: torch.randn(1, HEADS, seq_len, HEAD_DIM, dtype=torch.float64, generator=generator) for key in "qkv"}
    inputs["hidden"] = size * torch.randn(1, seq_len, D_MODEL, dtype=torch.float64, generator=generator)
    return {key: x.to(dtype) for key, x in inputs.items()}


def row(*values: float) -> Tensor:
    """One sequence of tokens with one head of one dimension."""
    return torch.tensor(values, dtype=torch.float64)[None, None, :, None]


def test_deltanet_by_hand() -> None:
    """In one dimension q and k are signs; beta = 1/2, so that the state goes half the way to each value, to minus it where k < 0."""
    module = attnbench.build("deltanet", 1, 1, d_model=2).double()
    with torch.no_grad():
        module.w.copy_(torch.tensor([[1.0, 0.0]]))
    hidden = torch.tensor([[[0.0, 3.0], [0.0, 5.0], [0.0, 7.0], [math.log(3.0), 9.0]]], dtype=torch.float64)  # the last beta is 3/4
    q, k, v = row(1e3, -2e3, 3e3, 1e3), row(1e3, 5e3, -2e3, 7e3), row(8.0, 4.0, -6.0, 1.0)
    torch.testing.assert_close(module(q, k, v, causal=True, hidden=hidden), row(4.0, -4.0, 5.0, 2.0), rtol=1e-9, atol=0.0)
    padding = torch.tensor([[False, True, False, False]])
    torch.testing.assert_close(module(q, k, v, True, padding, hidden=hidden), row(4.0, 0.0, 5.0, 2.0), rtol=1e-9, atol=0.0)


def test_gated_deltanet_by_hand() -> None:
    """beta = 1/2, and each token first halves the state."""
    module = attnbench.build("gated_deltanet", 1, 1, d_model=2).double()
    with torch.no_grad():
        module.w_beta.zero_(), module.w_decay.zero_()
        module.b.fill_(math.log(math.expm1(2.0)))  # softplus(b) = 2
        module.a.fill_(math.log(math.log(2.0) / 2.0))
    q, k, v, hidden = row(1e3, 1e3, 1e3), row(1e3, 1e3, -1e3), row(8.0, 4.0, 3.0), torch.ones(1, 3, 2, dtype=torch.float64)
    expected = row(4.0, 2.0 + (4.0 - 2.0) / 2, 1.5 - (3.0 + 1.5) / 2)
    torch.testing.assert_close(module(q, k, v, causal=True, hidden=hidden), expected, rtol=1e-9, atol=0.0)
    padding = torch.tensor([[False, True, False]])
    torch.testing.assert_close(module(q, k, v, True, padding, hidden=hidden), row(4.0, 0.0, 2.0 - 2.5), rtol=1e-9, atol=0.0)


def test_what_is_stored_under_a_key_is_replaced() -> None:
    """With beta near 1 the state answers each of d orthogonal keys with its latest value, however often it was written."""
    module, tokens = attnbench.build("deltanet", 1, HEAD_DIM, d_model=1).double(), 100
    with torch.no_grad():
        module.w.fill_(40.0)
    v = torch.randn(1, 1, tokens, HEAD_DIM, dtype=torch.float64)
    keys = 1e4 * torch.eye(HEAD_DIM, dtype=torch.float64)[torch.arange(tokens) % HEAD_DIM][None, None]
    queries = keys.roll(3, 2)  # the key of three tokens before
    out = module(queries, keys, v, causal=True, hidden=torch.ones(1, tokens, 1, dtype=torch.float64))
    torch.testing.assert_close(out[:, :, 3:], v[:, :, :-3] / math.sqrt(HEAD_DIM), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("seq_len", [1, 63, pytest.param(1000, marks=pytest.mark.long), pytest.param(4097, marks=pytest.mark.long)])
@pytest.mark.parametrize(("name", "size"), [("deltanet", 1.0), ("deltanet", 8.0), ("gated_deltanet", 1.0), ("gated_deltanet", 8.0)])
def test_it_is_as_exact_as_token_by_token_in_float32(name: str, seq_len: int, size: float) -> None:
    check_exactness(partial(token_by_token, name), make(name), draw(seq_len, torch.float32, size))


@pytest.mark.parametrize("spread", [0.0, 0.01])
@names
def test_it_is_as_exact_where_all_keys_are_alike(name: str, spread: float) -> None:
    """Then the triangular systems are as far from the identity as they can be."""
    drawn = draw(100, torch.float32)
    drawn["k"] = drawn["k"][:, :, :1] + spread * drawn["k"]
    check_exactness(partial(token_by_token, name), make(name), drawn)


@names
def test_it_agrees_with_the_recurrence_in_float64(name: str) -> None:
    inputs = draw(1000)
    expected = token_by_token(name, make(name).double(), inputs)
    torch.testing.assert_close(make(name).double()(**inputs, causal=True), expected, rtol=1e-11, atol=1e-13)


@names
def test_mixed_precision_rounds_nothing(name: str) -> None:
    """Neither gates nor sums."""
    module, inputs = make(name), draw(100, torch.float32)
    wanted = module(**inputs, causal=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module(**inputs, causal=True), wanted)


@pytest.mark.parametrize("size", [100.0, 1e4])
@names
def test_gates_of_any_strength_are_finite(name: str, size: float) -> None:
    """beta from 0 to 1, and decays from nothing to all, within a chunk; no exponent is positive, so that none overflows."""
    module, inputs = make(name), {key: x.requires_grad_() for key, x in draw(200, torch.float32, size).items()}
    out = module(**inputs, causal=True)
    assert out.isfinite().all()
    gradients = torch.autograd.grad(out.sum(), [*inputs.values(), *module.parameters()])
    assert all(x.isfinite().all() for x in gradients)


@pytest.mark.long
def test_deltanet_agrees_with_the_package() -> None:
    """This form of theirs has heads before tokens, as ours. They compute in float32 whatever comes."""
    module, inputs = make("deltanet"), draw(100, torch.float32)
    q, k = (F.normalize(inputs[key], dim=-1) for key in "qk")
    beta = torch.sigmoid(inputs["hidden"] @ module.w.mT).mT
    out, _ = naive_form("delta_rule").delta_rule_recurrence(q, k, inputs["v"], beta)
    assert relative_error(module(**inputs, causal=True), out) < 1e-5


@pytest.mark.long
def test_gated_deltanet_agrees_with_the_package() -> None:
    module, inputs = make("gated_deltanet"), draw(100, torch.float32)
    q, k = (F.normalize(inputs[key], dim=-1).transpose(1, 2) for key in "qk")
    beta = torch.sigmoid(inputs["hidden"] @ module.w_beta.mT)
    g = -module.a.exp() * F.softplus(inputs["hidden"] @ module.w_decay.mT + module.b)
    out, _ = naive_form("gated_delta_rule").naive_recurrent_gated_delta_rule(q, k, inputs["v"].transpose(1, 2), beta, g)
    assert relative_error(module(**inputs, causal=True), out.transpose(1, 2)) < 1e-5


def test_gated_deltanet_starts_as_published() -> None:
    """Over many heads: e^a uniform in (0, 16], softplus(b) log-uniform in [.001, .1], weights uniform within 1/sqrt(d_model)."""
    module = make("gated_deltanet", heads=4000).double()
    bound, steps = D_MODEL**-0.5, F.softplus(module.b).log()
    ranges = [(module.a.exp(), 0.0, 16.0), (steps, math.log(0.001), math.log(0.1))]
    for x, low, high in (*ranges, (module.w_beta, -bound, bound), (module.w_decay, -bound, bound)):
        shares = (x.detach() - low) / (high - low)
        assert -1e-6 <= float(shares.min()) < 0.01 and 0.99 < float(shares.max()) <= 1.0 + 1e-6
        assert abs(float(shares.mean()) - 0.5) < 0.03


def test_deltanet_starts_as_published() -> None:
    w = make("deltanet", heads=100).w.detach()
    assert 0.99 * D_MODEL**-0.5 < float(w.abs().max()) <= D_MODEL**-0.5 and abs(float(w.mean())) < 0.01


@names
def test_states_leave_each_other_alone(name: str) -> None:
    """All states of a sequence stay good at once, and do not grow."""
    module, inputs = make(name).double(), draw(9)
    at = {key: x[..., :8, :] for key, x in inputs.items()}
    more = {key: x[..., 8:, :] for key, x in inputs.items()}
    state = module.prefill(**at)
    first, after = module.step(**more, state=state)
    _, other = module.step(**{key: 2.0 * x for key, x in more.items()}, state=state)
    assert torch.equal(module.step(**more, state=state)[0], first)
    assert after.h.shape == other.h.shape == state.h.shape == (1, HEADS, HEAD_DIM, HEAD_DIM)


def test_a_state_of_another_batch_is_refused() -> None:
    inputs = draw(1)
    with pytest.raises(BadInput, match=r"of 1 sequences, its state of 3; make the state with init_state\(1\)"):
        DeltaState(3).add(inputs["k"], inputs["v"], inputs["v"][..., 0])


DELTA = "return delta_rule(q, k, v, self._beta(hidden, padding_mask))"
GATED = "return delta_rule(q, k, v, *self._gates(hidden, padding_mask))"
GATES = "beta, log_decay = self._gates(hidden, padding_mask)\n        return "
# Each query reads the state before it.
LATER = "nn.functional.pad(delta_rule(nn.functional.pad(q[:, :, 1:], (0, 0, 0, 1)), k, v, {gates})[:, :, :-1], (0, 0, 1, 0))"
SHOWN = "q, v = hide_padding(padding_mask, q, v)"  # the keys at padding are not hidden
HIDDEN_BETA = "return beta if padding_mask is None else beta.masked_fill(padding_mask[:, None], 0.0)"
FAULTS: list[tuple[str, str, dict[str, str], str]] = [
    ("deltanet", "no beta on v", {DELTA: DELTA.replace("v,", "v / self._beta(hidden, padding_mask)[..., None],")}, "reference"),
    ("deltanet", "beta twice", {".sigmoid().mT": ".sigmoid().square().mT"}, "reference"),
    ("deltanet", "read before the update", {DELTA: f"return {LATER.format(gates='self._beta(hidden, padding_mask)')}"}, "matrix"),
    ("deltanet", "beta of the token before", {DELTA: DELTA.replace("mask)", "mask).roll(1, -1)")}, "matrix"),
    ("deltanet", "padding moves the state", {SHOWN.replace("q,", "q, k,"): SHOWN, HIDDEN_BETA: "return beta"}, "padding_alone"),
    ("deltanet", "padding moves the state, by the matrix", {SHOWN.replace("q,", "q, k,"): SHOWN, HIDDEN_BETA: "return beta"}, "matrix"),
    ("deltanet", "a step without beta", {"state.add(k, v, self._beta(hidden, None))\n        return state":
     "state.add(k, v, 0 * self._beta(hidden, None) + 1)\n        return state"}, "decode"),
    ("gated_deltanet", "gate twice", {"* -self.a": "* -2 * self.a"}, "reference"),
    ("gated_deltanet", "gate twice in forward", {GATED: f"{GATES}delta_rule(q, k, v, beta, 2 * log_decay)"}, "matrix"),
    ("gated_deltanet", "gate twice in decoding", {"state = state.add(k, v, *self._gates(hidden, None))":
     "beta, g = self._gates(hidden, None)\n        state = state.add(k, v, beta, 2 * g)"}, "decode"),
    ("gated_deltanet", "decay after the read-out",
     {GATED: f"{GATES}delta_rule(q, k, v, beta, nn.functional.pad(log_decay[..., :-1], (1, 0)))"}, "matrix"),
    ("gated_deltanet", "decay after the step, before the read-out",
     {GATED: f"{GATES}log_decay[..., None].exp() * delta_rule(q, k, v, beta, nn.functional.pad(log_decay[..., :-1], (1, 0)))"}, "matrix"),
    ("gated_deltanet", "no decay of what is corrected",
     {GATED: f"{GATES}delta_rule(q, k, v * (-log_decay[..., None]).exp(), beta, log_decay)"}, "matrix"),
    ("gated_deltanet", "no beta on v", {GATED: f"{GATES}delta_rule(q, k, v / beta[..., None], beta, log_decay)"}, "matrix"),
    ("gated_deltanet", "read before the update", {GATED: f"{GATES}{LATER.format(gates='beta, log_decay')}"}, "matrix"),
    ("gated_deltanet", "padding moves the state", {"if padding_mask is not None:": "if False:"}, "padding_alone"),
    ("gated_deltanet", "padding moves the state, by the reference", {"if padding_mask is not None:": "if False:"}, "reference"),
    ("gated_deltanet", "no bias", {"self.w_decay, self.b)": "self.w_decay)"}, "reference"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fault", "changes", "check"), FAULTS, ids=[f"{name}: {fault}" for name, fault, *_ in FAULTS])
def test_a_planted_fault_is_found(name: str, fault: str, changes: dict[str, str], check: str) -> None:
    found = finding(name, changes, check)
    assert found.status == "failed" and "relative difference" in found.detail, found.detail
