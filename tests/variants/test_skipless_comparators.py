"""The comparators for skipless blocks: how they start, and the centre of shaped by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import attnbench
from attnbench.training import diagnose
from attnbench.training.model import Stack
from helpers.mechanisms import draw, masks
from helpers.stacks import D_MODEL, SEQ_LEN, architecture

causal_or_not = pytest.mark.parametrize("causal", [False, True])
both = pytest.mark.parametrize("name", ["value_skipinit", "shaped"])


@causal_or_not
def test_value_skipinit_starts_as_the_identity(causal: bool) -> None:
    q, k, v = draw("value_skipinit").values()
    assert torch.equal(attnbench.build("value_skipinit", 3, 5)(q, k, v, causal=causal), v)


@pytest.mark.parametrize("padded", [False, True])
@causal_or_not
def test_shaped_starts_as_the_identity_where_queries_are_zero(causal: bool, padded: bool) -> None:
    q, k, v = draw("shaped").values()
    mask = masks(("right", "holes"), "cpu") if padded else None
    out = attnbench.build("shaped", 3, 5)(torch.zeros_like(q), k, v, causal=causal, padding_mask=mask)
    expected = v if mask is None else v.masked_fill(mask[:, None, :, None], 0.0)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)


def centre() -> nn.Module:
    """Shaped attention with gains 0, 0 and -1: its output is the mean over the visible keys."""
    module = attnbench.build("shaped", 1, 1)
    module.load_state_dict({key: torch.full((1,), -1.0 if key == "centring_gain" else 0.0) for key in module.state_dict()})
    return module


def test_the_centre_of_shaped_by_hand() -> None:
    module = centre()
    v = torch.tensor([2.0, 4.0, 9.0])[None, None, :, None]
    mask = torch.tensor([[True, False, False]])
    for causal, padding_mask, expected in (
        (False, None, [5.0, 5.0, 5.0]),
        (True, None, [2.0, 3.0, 5.0]),
        (False, mask, [0.0, 6.5, 6.5]),
        (True, mask, [0.0, 4.0, 6.5]),
    ):
        torch.testing.assert_close(module(v, v, v, causal=causal, padding_mask=padding_mask).flatten(), torch.tensor(expected))


@causal_or_not
def test_the_centre_of_shaped_is_summed_in_float32_for_bfloat16(causal: bool) -> None:
    """In bfloat16 neither sums above 256 nor counts above 256 are exact."""
    v = (torch.arange(3001) % 3).bfloat16()[None, None, :, None]
    sums, counts = v.double().cumsum(-2), torch.arange(1, 3002)[:, None]
    expected = sums / counts if causal else (sums / counts)[..., -1:, :].expand_as(v)
    assert torch.equal(centre().bfloat16()(v, v, v, causal=causal), expected.bfloat16())


@both
def test_queries_start_at_zero_and_values_and_outputs_as_orthogonal_maps(name: str) -> None:
    """Of all heads together; the keys keep what the model gave them."""
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        w_q, w_k, w_v, w_o = (torch.full((6, 6), float(i)) for i in range(1, 5))
        attnbench.build(name, 2, 3).init_projections(w_q, w_k, w_v, w_o)
        assert w_q.unique().tolist() == [0.0] and w_k.unique().tolist() == [2.0]
        for weight in (w_v, w_o):
            torch.testing.assert_close(weight @ weight.mT, torch.eye(6), rtol=0.0, atol=1e-5)
            assert not torch.allclose(weight, torch.eye(6), atol=0.1)
        assert not torch.allclose(w_v, w_o, atol=1e-2)
        drawn.append(w_v)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2], atol=1e-2)


def test_softmax_may_start_as_orthogonal_attention_does() -> None:
    """From the same seed the projections of a model are the same numbers, and what they are put into is softmax attention."""
    started = []
    for name in ("orthogonal", "softmax_orthogonal_init"):
        torch.manual_seed(0)
        stack = Stack(architecture(name, "skipless", num_layers=2))
        started.append({key: value for key, value in stack.state_dict().items() if "attention.attention." not in key})
    assert started[0].keys() == started[1].keys() and all(torch.equal(value, started[1][key]) for key, value in started[0].items())
    q, k, v = draw("softmax").values()
    for causal in (False, True):
        own, softmax = (attnbench.build(name, 3, 5)(q, k, v, causal=causal) for name in ("softmax_orthogonal_init", "softmax"))
        assert torch.equal(own, softmax)


@both
def test_a_skipless_stack_of_their_attention_starts_as_an_isometry(name: str) -> None:
    """A is the identity there and the maps are orthogonal, so that the Jacobian of five layers of attention has condition one."""
    torch.manual_seed(0)
    stack = Stack(architecture(name, "skipless", num_layers=5)).double()
    tokens = torch.randn(SEQ_LEN, D_MODEL, dtype=torch.float64)
    assert diagnose.jacobian_condition(stack.mix, tokens) == pytest.approx(1.0, abs=1e-5)


@both
def test_gains_are_learned_per_head(name: str) -> None:
    shapes = {key: tuple(parameter.shape) for key, parameter in attnbench.build(name, 3, 5).named_parameters()}
    assert set(shapes.values()) == {(3,)}
    assert len(shapes) == {"value_skipinit": 2, "shaped": 3}[name]
