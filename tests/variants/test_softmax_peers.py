"""Relatives of softmax against dense float64 definitions written here, and cases worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.measurement.memory import peak_memory_bytes
from helpers.dense_softmax import Dense, check_is_dense, scores_of, softmax_of
from helpers.mechanisms import attend, draw, make

NAMES = ("softmax_one", "sink", "softpick", "cosine", "differential", "gated", "value_skipinit", "shaped")
names = pytest.mark.parametrize("name", NAMES)
causal_or_not = pytest.mark.parametrize("causal", [False, True])


def softmax_one(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    exponentials = scores_of(q, k).exp() * visible[:, None]
    return exponentials / (1.0 + exponentials.sum(-1, keepdim=True)) @ v


def sink(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    exponentials = scores_of(q, k).exp() * visible[:, None]
    return exponentials / (module.sink_logit.exp()[:, None, None] + exponentials.sum(-1, keepdim=True)) @ v


def softpick(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """The 1e-8 is added to the sum that is taken relative to e^m."""
    scores = scores_of(q, k) * visible[:, None]
    above = scores.exp() - 1.0
    epsilon = 1e-8 * scores.amax(-1, keepdim=True).clamp(min=0.0).exp()
    return above.relu() / (above.abs().sum(-1, keepdim=True) + epsilon) @ v


def cosine(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    cosines = torch.einsum("bhid,bhjd->bhij", q, k) / (q.norm(dim=-1)[..., :, None] * k.norm(dim=-1)[..., None, :])
    return softmax_of(module.log_scale.exp()[:, None, None] * cosines, visible) @ v


def factor_of(module: Any, start: float) -> float:
    """lambda, from the module's vectors."""
    one, two, three, four = (x.detach() for x in (module.lambda_q1, module.lambda_k1, module.lambda_q2, module.lambda_k2))
    return math.exp(one @ two) - math.exp(three @ four) + start


def differential(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    start = 0.8 - 0.6 * math.exp(-0.3 * 1)  # `make` builds layer 1
    factor = factor_of(module, start)
    out = torch.empty_like(v)
    for pair in range(q.shape[1] // 2):
        one, two = slice(2 * pair, 2 * pair + 1), slice(2 * pair + 1, 2 * pair + 2)
        values = torch.cat([v[:, one], v[:, two]], dim=-1)
        maps = [softmax_of(scores_of(q[:, half], k[:, half]), visible) for half in (one, two)]
        mixed = (maps[0] - factor * maps[1]) @ values
        normed = mixed / (mixed.square().mean(-1, keepdim=True) + 1e-5).sqrt() * module.norm.weight * (1 - start)
        out[:, one], out[:, two] = normed.chunk(2, dim=-1)
    return out


def gated(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    gate = 1 / (1 + torch.exp(-torch.einsum("bhid,hde->bhie", q, module.w_g)))
    return softmax_of(scores_of(q, k), visible) @ v * gate


def value_skipinit(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    a, b = module.identity_gain[:, None, None], module.attention_gain[:, None, None]
    return (a * torch.eye(v.shape[-2], dtype=v.dtype) + b * softmax_of(scores_of(q, k), visible)) @ v


def shaped(module: Any, q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    a, b, g = (gain[:, None, None] for gain in (module.identity_gain, module.attention_gain, module.centring_gain))
    scores = scores_of(q, k)
    centre = softmax_of(torch.zeros_like(scores), visible)
    return (a * torch.eye(v.shape[-2], dtype=v.dtype) + b * softmax_of(scores, visible) - g * centre) @ v


DEFINITIONS: dict[str, Dense] = {
    dense.__name__: dense for dense in (softmax_one, sink, softpick, cosine, differential, gated, value_skipinit, shaped)
}


@pytest.mark.parametrize("padded", [False, True])
@causal_or_not
@names
def test_output_is_the_dense_definition(name: str, causal: bool, padded: bool) -> None:
    check_is_dense(name, DEFINITIONS[name], causal, padded)


@pytest.mark.parametrize("training", [False, True])
@causal_or_not
@names
def test_no_attention_matrix_is_kept(name: str, causal: bool, training: bool) -> None:
    """All that is allocated together is less than half of one seq_len x seq_len matrix."""
    seq_len = 2048
    module = attnbench.build(name, 2, 8, seq_len=seq_len)
    q, k, v = (torch.randn(1, 2, seq_len, 8, requires_grad=training) for _ in range(3))

    def call(_: int) -> Tensor:
        out: Tensor = module(q, k, v, causal=causal)
        if training:
            torch.autograd.grad(out.sum(), (q, k, v))
        return out

    call(0)
    assert 0 < peak_memory_bytes(call, "cpu") < seq_len * seq_len * 4 / 2


def test_softmax_one_by_hand() -> None:
    """head_dim 4, so that sqrt(d) is 2: scores 0 and log 2 give weights 1/4 and 2/4."""
    module = attnbench.build("softmax_one", num_heads=1, head_dim=4)
    q = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])[None, None]
    k = torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0 * math.log(2.0), 0.0, 0.0, 0.0]])[None, None]
    v = torch.tensor([[4.0, 0.0, 0.0, 8.0], [0.0, 4.0, 0.0, 6.0]])[None, None]
    last = [1.0, 2.0, 0.0, 5.0]
    torch.testing.assert_close(module(q, k, v)[0, 0], torch.tensor([last, last]))
    torch.testing.assert_close(module(q, k, v, causal=True)[0, 0], torch.tensor([[2.0, 0.0, 0.0, 4.0], last]))
    mask = torch.tensor([[True, False]])
    torch.testing.assert_close(module(q, k, v, padding_mask=mask)[0, 0], torch.tensor([[0.0] * 4, [0.0, 8.0 / 3.0, 0.0, 4.0]]))


@causal_or_not
def test_softmax_one_attends_to_nothing_where_all_scores_are_low(causal: bool) -> None:
    q, v = torch.full((1, 1, 5, 4), 30.0), torch.ones(1, 1, 5, 4)
    module = attnbench.build("softmax_one", num_heads=1, head_dim=4)
    assert float(module(q, -q, v, causal=causal).abs().max()) == 0.0
    torch.testing.assert_close(module(q, q, v, causal=causal), v)  # and to one and no more where they are high, without an overflow


def test_cosine_by_hand() -> None:
    """Temperature log 2 and cosines 1 and 0: weights 2/3 and 1/3, whatever the lengths."""
    module = attnbench.build("cosine", num_heads=1, head_dim=2)
    torch.testing.assert_close(module.log_scale.detach().exp(), torch.tensor([10.0]))
    with torch.no_grad():
        module.log_scale.fill_(math.log(math.log(2.0)))
    q, k, v = (torch.tensor(x)[None, None] for x in ([[3.0, 0.0], [0.0, 0.1]], [[500.0, 0.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 6.0]]))
    torch.testing.assert_close(module(q, k, v)[0, 0], torch.tensor([[2.0, 2.0], [1.0, 4.0]]))


def test_the_temperature_of_cosine_stops_at_100() -> None:
    module = attnbench.build("cosine", num_heads=2, head_dim=5)
    inputs = draw("cosine", groups=2)
    outs = []
    for scale in (100.0, 1000.0):
        with torch.no_grad():
            module.log_scale.fill_(math.log(scale))
        outs.append(attend(module, inputs))
    assert torch.equal(*outs)
    (gradient,) = torch.autograd.grad(outs[1].square().sum(), module.log_scale)
    assert not gradient.any()


@causal_or_not
def test_zero_vectors_have_no_direction_for_cosine(causal: bool) -> None:
    module = attnbench.build("cosine", num_heads=1, head_dim=4)
    q, k, v = (torch.randn(1, 1, 5, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    q[..., 3, :] = k[..., 2, :] = 0.0
    inputs = [x.requires_grad_() for x in (q, k, v)]
    out = module(*inputs, causal=causal)
    torch.testing.assert_close(out[0, 0, 3], v[0, 0, : 4 if causal else 5].mean(0))
    for gradient in torch.autograd.grad(out.square().sum(), inputs):
        assert gradient.isfinite().all()
        assert gradient.norm() < 1e3  # a floor of the norm such as 1e-12 would give 1e12


@pytest.mark.parametrize(("layer_index", "start"), [(None, 0.2), (0, 0.2), (5, 0.8 - 0.6 * math.exp(-1.5))])
def test_differential_of_one_token_by_hand(layer_index: int | None, start: float) -> None:
    """Both maps are 1: (1 - lambda) of the values of both heads side by side, normed, is their direction with root mean square 1."""
    torch.manual_seed(0)
    module = attnbench.build("differential", num_heads=2, head_dim=2, layer_index=layer_index)
    q = torch.randn(1, 2, 1, 2)
    v = torch.tensor([[3.0, 4.0], [0.0, 5.0]])[None, :, None]
    sign = math.copysign(1.0 - start, 1.0 - factor_of(module, start))
    expected = sign * v / math.sqrt((9 + 16 + 0 + 25) / 4)
    torch.testing.assert_close(module(q, q, v), expected, rtol=1e-4, atol=1e-4)


def test_the_vectors_of_lambda_start_normal_with_deviation_a_tenth() -> None:
    torch.manual_seed(0)
    module = attnbench.build("differential", num_heads=2, head_dim=4096)
    for vector in (x.detach() for x in (module.lambda_q1, module.lambda_k1, module.lambda_q2, module.lambda_k2)):
        assert abs(float(vector.std()) - 0.1) < 0.005 and abs(float(vector.mean())) < 0.005
    assert not torch.equal(module.lambda_q1, module.lambda_q2)
    assert torch.equal(module.norm.weight.detach(), torch.ones(8192))


def test_common_noise_of_both_maps_cancels_in_differential() -> None:
    """At lambda = 1 and equal queries and keys of both heads the difference is zero."""
    module = attnbench.build("differential", num_heads=2, head_dim=3).double()
    with torch.no_grad():
        for vector in (module.lambda_q1, module.lambda_k1, module.lambda_q2, module.lambda_k2):
            vector.zero_()
        module.lambda_q1[0], module.lambda_k1[0] = 1.0, math.log(1.8)  # lambda = 1.8 - 1 + 0.2
    q, k, v = (x.double() for x in draw("differential", groups=1, head_dim=3).values())
    q, k = (x[:, :1].expand(-1, 2, -1, -1) for x in (q, k))
    assert float(module(q, k, v).detach().abs().max()) < 1e-10


def test_a_gate_at_zero_is_half_open() -> None:
    inputs = draw("gated")
    module = attnbench.build("gated", 3, 5)
    assert float(module.w_g.detach().abs().max()) <= math.sqrt(3 / 5)  # Xavier's bound, sqrt(6 / (fan_in + fan_out)), of each 5 x 5 map
    assert float(module.w_g.detach().std()) > 0.3
    with torch.no_grad():
        module.w_g.zero_()
    torch.testing.assert_close(attend(module, inputs), 0.5 * attend(make("softmax"), inputs))


@pytest.mark.parametrize("name", ["softmax", "softmax_math"])
def test_softmax_by_hand(name: str) -> None:
    """head_dim 4, so that sqrt(d) is 2: scores 0 and log 2 give weights 1/3 and 2/3."""
    module = attnbench.build(name, num_heads=1, head_dim=4)
    q = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])[None, None]
    k = torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0 * math.log(2.0), 0.0, 0.0, 0.0]])[None, None]
    v = torch.tensor([[3.0, 0.0, 0.0, 6.0], [0.0, 3.0, 0.0, 9.0]])[None, None]
    last = [1.0, 2.0, 0.0, 8.0]
    torch.testing.assert_close(module(q, k, v)[0, 0], torch.tensor([last, last]))
    torch.testing.assert_close(module(q, k, v, causal=True)[0, 0], torch.tensor([[3.0, 0.0, 0.0, 6.0], last]))
    mask = torch.tensor([[True, False]])
    torch.testing.assert_close(module(q, k, v, padding_mask=mask)[0, 0], torch.tensor([[0.0] * 4, [0.0, 3.0, 0.0, 9.0]]))
