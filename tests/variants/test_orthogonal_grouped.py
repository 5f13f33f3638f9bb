"""Orthogonal attention with grouped queries: each query head turns the values of its key-value head by its own matrix."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import attnbench
from attnbench.errors import Unsupported
from attnbench.kernels import skew
from attnbench.measurement.checks import CORRECTNESS
from attnbench.measurement.checks.subject import Subject
from attnbench.spec.construct import load_variant
from helpers.orthogonal_forms import FORMS

HEADS, KV_HEADS, SEQ_LEN, HEAD_DIM = 6, 2, 13, 5


def by_definition(alpha: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """exp(S) v of each query head by itself, h reading key-value head h // 3."""
    outs = []
    for head in range(HEADS):
        queries, keys, values = q[:, head], k[:, head // 3], v[:, head // 3]
        s = alpha[head] / math.sqrt(HEAD_DIM) * (queries @ keys.mT - keys @ queries.mT)
        outs.append(torch.linalg.matrix_exp(s) @ values)
    return torch.stack(outs, 1)


def test_values_and_gradients_are_those_of_each_head_by_itself() -> None:
    module = attnbench.build("orthogonal", HEADS, HEAD_DIM, num_kv_heads=KV_HEADS).double()
    with torch.no_grad():
        module.alpha.copy_(torch.linspace(-0.4, 0.6, HEADS))
    generator = torch.Generator().manual_seed(0)
    leaves = [
        torch.randn(3, heads, SEQ_LEN, HEAD_DIM, dtype=torch.float64, generator=generator).requires_grad_()
        for heads in (HEADS, KV_HEADS, KV_HEADS)
    ]
    found, wanted = module(*leaves), by_definition(module.alpha, *leaves)
    torch.testing.assert_close(found, wanted)
    upstream = torch.randn(found.shape, dtype=torch.float64, generator=generator)
    gradients = [torch.autograd.grad(out, [*leaves, module.alpha], upstream) for out in (found, wanted)]
    assert [x.shape[1] for x in gradients[0][:3]] == [HEADS, KV_HEADS, KV_HEADS]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_dense_definition_takes_grouped_keys() -> None:
    module = attnbench.build("orthogonal", HEADS, HEAD_DIM, num_kv_heads=KV_HEADS).double()
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(3, heads, SEQ_LEN, HEAD_DIM, dtype=torch.float64, generator=generator) for heads in (HEADS, KV_HEADS))
    mask = torch.arange(SEQ_LEN) >= torch.tensor([SEQ_LEN, 7, 0])[:, None]
    torch.testing.assert_close(module.matrix(q, k, padding_mask=mask), skew.exponential(module, q, k, False, mask))


def test_heads_of_another_order_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Query head h reading head h % 2: as wrong, and of the same shape."""

    def tiled(heads: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.repeat(1, heads // x.shape[1], 1, 1) for x in tensors)

    subject = Subject("orthogonal", load_variant("orthogonal"), load_variant("orthogonal").params)
    assert CORRECTNESS["grouped"](subject).status == "passed"
    monkeypatch.setattr(skew, "repeat_heads", tiled)
    assert CORRECTNESS["grouped"](Subject("orthogonal", subject.variant, subject.params)).status == "failed"


@pytest.mark.parametrize("name", FORMS)
def test_the_other_forms_have_no_grouped_queries(name: str) -> None:
    with pytest.raises(Unsupported, match="no grouped queries"):
        attnbench.build(name, HEADS, HEAD_DIM, num_kv_heads=KV_HEADS)
