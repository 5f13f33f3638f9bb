"""hedgehog and rebased: by hand, token by token, against flash-linear-attention, and with faults planted in their files."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attnbench
from attnbench.kernels import linear
from helpers.naive_forms import naive_form
from helpers.planted_faults import finding
from helpers.token_by_token import check_exactness

HEADS, HEAD_DIM = 3, 8
names = pytest.mark.parametrize("name", ["hedgehog", "rebased"])
causality = pytest.mark.parametrize("causal", [False, True])


def make(name: str) -> nn.Module:
    """With parameters away from their start, other ones for each head, and for queries and keys."""
    torch.manual_seed(3)
    module = attnbench.build(name, HEADS, HEAD_DIM)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def draw(seq_len: int, dtype: torch.dtype = torch.float64, batch: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seq_len)
    return list(torch.randn(3, batch, HEADS, seq_len, HEAD_DIM, dtype=torch.float64, generator=generator).to(dtype))


def row(*values: float) -> Tensor:
    """One sequence of tokens with one head of one dimension."""
    return torch.tensor(values, dtype=torch.float64)[None, None, :, None]


def features(module: nn.Module, x: Tensor, of: str) -> Tensor:
    """What the definition sums: of hedgehog the softmax, of rebased the products of two coordinates."""
    if f"{of}_map.weight" in dict(module.named_parameters()):
        weight, bias = (module.get_parameter(f"{of}_map.{name}") for name in ("weight", "bias"))
        y = torch.stack([F.linear(x[:, head], weight[head], bias[head]) for head in range(HEADS)], 1)
        return torch.softmax(torch.cat([2 * y, -2 * y], -1), -1)
    gamma, beta = (module.get_parameter(f"{of}_norm.{name}") for name in ("gamma", "beta"))
    y = torch.stack([F.layer_norm(x[:, head], (HEAD_DIM,), gamma[head], beta[head]) for head in range(HEADS)], 1)
    return (y[..., :, None] * y[..., None, :]).flatten(-2) / math.sqrt(HEAD_DIM)


def token_by_token(module: nn.Module, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The causal output from one running sum."""
    phi_q, phi_k = features(module, q, "query"), features(module, k, "key")
    values = torch.cat([v, torch.ones_like(v[..., :1])], -1)
    state, sums = torch.zeros_like(phi_k[:, :, 0, :, None] * values[:, :, 0, None]), []
    for token in range(q.shape[2]):
        state = state + phi_k[:, :, token, :, None] * values[:, :, token, None]
        sums.append((phi_q[:, :, token, None] @ state)[:, :, 0])
    total = torch.stack(sums, 2)
    return total[..., :-1] / (total[..., -1:] + (0.0 if hasattr(module, "query_map") else 1e-6))


def test_hedgehog_by_hand() -> None:
    """With y = log(3) / 4 features are in the ratio e^{2y} : e^{-2y} = 3 : 1, and those of 0 are equal."""
    third = math.log(3.0) / 4.0
    module = attnbench.build("hedgehog", 1, 1).double()
    q, k, v = row(third, 0.0, -third), row(third, -third, 0.0), row(16.0, 32.0, 64.0)
    # Weights of the first query: (3 3 + 1 1, 3 1 + 1 3, (3 + 1) 2) / 16 = (10, 6, 8) / 16.
    expected = row((160 + 192 + 512) / 24, (16 + 32 + 64) / 3, (96 + 320 + 512) / 24)
    torch.testing.assert_close(module(q, k, v), expected)
    torch.testing.assert_close(module(q, k, v, causal=True), row(16.0, 24.0, (96 + 320 + 512) / 24))
    hole = torch.tensor([[False, True, False]])
    torch.testing.assert_close(module(q, k, v, padding_mask=hole), row((160 + 512) / 18, 0.0, (96 + 512) / 14))
    with torch.no_grad():  # with other maps a query of 0 is as one of log(3) / 4, and a key of any size as one of 0
        module.query_map.bias.fill_(third)
        module.key_map.weight.zero_()
    torch.testing.assert_close(module(q, k, v), row(*[112 / 3] * 3))


def test_rebased_by_hand() -> None:
    """LN([x, y]) is (1, -1) sign(x - y), to 5e-6 for x - y = 2: scores are +-sqrt(2), weights 2, and 1e-6 stands beside their sum."""
    module = attnbench.build("rebased", 1, 2).double()
    q, k, v = torch.tensor([[[1.0, -1.0], [-3.0, 5.0]], [[4.0, 2.0], [0.0, 0.0]], [[8.0, 1.0], [2.0, 3.0]]], dtype=torch.float64)[
        :, None, None
    ]
    shrunk = 1.0 / (1.0 + 1e-5)  # of every weight with the second key, which is constant, nothing is left
    expected = torch.stack([v[0, 0, 0] * 2 * shrunk**2 / (2 * shrunk**2 + 1e-6), v[0, 0, 0] * 2 / (2 + 1e-6)])[None, None]
    torch.testing.assert_close(module(q, k, v), expected, rtol=1e-10, atol=0.0)
    with torch.no_grad():  # k' = beta for the second key, and both are alike: the mean of both values
        module.key_norm.gamma.zero_()
        module.key_norm.beta.copy_(torch.tensor([[3.0, 1.0]]))
    torch.testing.assert_close(module(q, k, v), v.mean(2, keepdim=True).expand_as(v), rtol=1e-6, atol=0.0)


def test_maps_start_where_the_papers_start_them() -> None:
    hedgehog, rebased = attnbench.build("hedgehog", 2, 5), attnbench.build("rebased", 2, 5)
    assert {name: tuple(x.shape) for name, x in hedgehog.named_parameters()} == {
        f"{of}_map.{name}": shape for of in ("query", "key") for name, shape in (("weight", (2, 5, 5)), ("bias", (2, 5)))
    }
    assert {name: tuple(x.shape) for name, x in rebased.named_parameters()} == {
        f"{of}_norm.{name}": (2, 5) for of in ("query", "key") for name in ("gamma", "beta")
    }
    assert torch.equal(hedgehog.key_map.weight, torch.eye(5).expand(2, 5, 5)) and not hedgehog.key_map.bias.any()
    assert rebased.query_norm.gamma.eq(1.0).all() and not rebased.query_norm.beta.any()


@pytest.mark.parametrize("seq_len", [1, 63, 1000, pytest.param(4097, marks=pytest.mark.long)])
@names
def test_it_is_as_exact_as_token_by_token_in_float32(name: str, seq_len: int) -> None:
    """At 4,097 tokens rebased goes by features."""
    drawn = dict(zip("qkv", draw(seq_len, torch.float32), strict=True))
    check_exactness(lambda module, inputs: token_by_token(module, **inputs), make(name), drawn, may_cancel=True)


@names
def test_mixed_precision_rounds_nothing(name: str) -> None:
    """Neither features nor sums."""
    module, inputs = make(name), draw(100, torch.float32)
    wanted = module(*inputs, causal=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module(*inputs, causal=True), wanted)


@causality
@pytest.mark.parametrize("seq_len", [1, 6, 7, 8, 23])
def test_blocks_of_features_join(seq_len: int, causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 7 tokens in chunks of 3, the last ones ragged, with padding: values and gradients of the dense form."""
    monkeypatch.setattr(linear, "BLOCK", 7)
    monkeypatch.setattr(linear, "CHUNK", 3)
    module, inputs = make("hedgehog").double(), [x.requires_grad_() for x in draw(seq_len, batch=2)]
    mask = torch.zeros(2, seq_len, dtype=torch.bool)
    mask[0, 1::3], mask[1, : seq_len // 2] = True, True
    q, k, v = inputs
    out = module(q, k, v, causal=causal, padding_mask=mask)
    expected = module.matrix(q, k, causal=causal, padding_mask=mask) @ v.masked_fill(mask[:, None, :, None], 0.0)
    torch.testing.assert_close(out, expected)
    wanted, upstream = [*inputs, *module.parameters()], torch.randn(out.shape, dtype=out.dtype)
    for one, other in zip(torch.autograd.grad(out, wanted, upstream), torch.autograd.grad(expected, wanted, upstream), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.long
def test_hedgehog_is_that_of_flash_linear_attention() -> None:
    naive = naive_form("linear_attn").naive_recurrent_linear_attn
    package = importlib.import_module("fla.modules.feature_map")
    module, (q, k, v) = make("hedgehog"), draw(100, torch.float32)
    phi = []
    for x, own in ((q, module.query_map), (k, module.key_map)):
        maps = []
        for head in range(HEADS):
            theirs = package.HedgehogFeatureMap(HEAD_DIM)
            if head == 0:  # it starts as ours does
                start = attnbench.build("hedgehog", HEADS, HEAD_DIM).query_map
                assert torch.equal(theirs.layer.weight, start.weight[0]) and torch.equal(theirs.layer.bias, start.bias[0])
            theirs.load_state_dict({"layer.weight": own.weight[head], "layer.bias": own.bias[head]})
            maps.append(theirs(x[:, head]))
        phi.append(torch.stack(maps, 2))  # [batch, seq_len, heads, features]
    expected, _ = naive(*phi, v.transpose(1, 2), normalize=True)
    torch.testing.assert_close(module(q, k, v, causal=True), expected.transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_rebased_is_that_of_flash_linear_attention() -> None:
    naive = naive_form("rebased").naive_parallel_rebased
    module, (q, k, v) = make("rebased").double(), draw(100)
    normed = []
    for x, own in ((q, module.query_norm), (k, module.key_norm)):
        gamma, beta = own.gamma[:, None], own.beta[:, None]
        normed.append(F.layer_norm(x, (HEAD_DIM,)) * gamma + beta)
    torch.testing.assert_close(module(q, k, v, causal=True), naive(*normed, v))


@causality
def test_rebased_survives_scores_of_zero(causal: bool) -> None:
    """A constant token is zero after the norm: with beta = 0 its row is zero, and every gradient is finite."""
    module = attnbench.build("rebased", HEADS, HEAD_DIM)
    q, k, v = draw(9, torch.float32)
    q[:, :, 4] = 3.0
    inputs = [x.requires_grad_() for x in (q, k, v)]
    out = module(*inputs, causal=causal)
    assert not out[:, :, 4].any() and out[:, :, :4].all()
    assert all(x.isfinite().all() for x in torch.autograd.grad(out.sum(), [*inputs, *module.parameters()]))


PLANTED = [
    # A feature map of the wrong sign; b left out; the maps exchanged; the normaliser without its last term.
    ("hedgehog", {"torch.cat([mapped, -mapped], dim=-1)": "torch.cat([mapped, mapped], dim=-1)"}, "reference"),
    ("hedgehog", {" + 2.0 * self.bias.to(x.dtype)[:, None]": ""}, "reference"),
    ("hedgehog", {"mapped_attention(self.query_map, self.key_map": "mapped_attention(self.key_map, self.query_map"}, "reference"),
    ("hedgehog", {"key_map, q, k, v, causal, padding_mask)": "key_map, q, k, v, causal, padding_mask) * _off(self, q, k)",
                  "def _weights(": "def _off(self, q, k):\n    w = self.query_map(q) @ self.key_map(k).mT\n"
                  "    return w.sum(-1, True) / w[..., :-1].sum(-1, True) if w.shape[-1] > 1 else 1.0\n\n\ndef _weights("}, "reference"),
    # A row that sees the key after it, or all of them; padding that adds phi(0); a prompt whose keys are mapped as queries.
    ("hedgehog", {"key_map, q, k, v, causal,": "key_map, q, k.roll(-1, 2), v.roll(-1, 2), causal,"}, "causal"),
    ("hedgehog", {"q, k, v, causal, padding_mask)": "q, k, v, False, padding_mask)"}, "causal"),
    ("hedgehog", {"q, k, v, causal, padding_mask)": "q, k, v, causal, None)"}, "padding_alone"),
    ("hedgehog", {"RunningSums(q.shape[0]).add(self.key_map(k), v)": "RunningSums(q.shape[0]).add(self.query_map(k), v)"}, "decode"),
    # beta or the 1e-6 left out; the norms exchanged; no norm; a prompt without one; padding that is not hidden.
    ("rebased", {" + self.beta.to(x.dtype)[:, None]": ""}, "reference"),
    ("rebased", {"SQUARE, causal, padding_mask, EPSILON)": "SQUARE, causal, padding_mask)"}, "reference"),
    ("rebased", {"hide_padding(padding_mask, self.query_norm(q), self.key_norm(k))":
                 "hide_padding(padding_mask, self.key_norm(q), self.query_norm(k))"}, "reference"),
    ("rebased", {"normed = F.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)": "normed = x"}, "reference"),
    ("rebased", {"polynomial_prefill(self.key_norm(k), v, SQUARE)": "polynomial_prefill(k, v, SQUARE)"}, "decode"),
    ("rebased", {"(q, k, v, SQUARE, causal,": "(q, k.roll(-1, 2), v.roll(-1, 2), SQUARE, causal,"}, "causal"),
    ("rebased", {"SQUARE, causal, padding_mask, EPSILON)": "SQUARE, causal, None, EPSILON)"}, "padding"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "check"), PLANTED)
def test_planted_faults_are_found(name: str, changes: dict[str, str], check: str) -> None:
    assert finding(name, changes, check).status == "failed"
