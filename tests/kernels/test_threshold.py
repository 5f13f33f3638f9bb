"""Attention by a threshold: thresholds of hard rows, blocks of any size, masks, range, and the steps that are taken."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attnbench.kernels import threshold
from attnbench.kernels.threshold import MOST_STEPS, threshold_attention
from attnbench.measurement.memory import peak_memory_bytes

powers = pytest.mark.parametrize("power", [1, 2], ids=["sparsemax", "entmax15"])
causal_or_not = pytest.mark.parametrize("causal", [False, True])


def by_bisection(scores: Tensor, power: int) -> Tensor:
    """[s / p - tau]_+^p of rows of finite or infinite scores, by 200 halvings of the interval of tau in float64."""
    z = scores.double() / power
    low = z.amax(-1, keepdim=True) - 1
    high = low + 1
    for _ in range(200):
        middle = (low + high) / 2
        above = (z - middle).relu().pow(power).sum(-1, keepdim=True) > 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (z - low).relu().pow(power)


def attention_of(scores: Tensor, power: int) -> Tensor:
    """The weights that the kernel gives these scores, [rows, keys]: keys are the unit vectors, in as many dimensions."""
    rows, width = scores.shape
    keys = torch.eye(width, dtype=scores.dtype)[None, None]
    queries = torch.nn.functional.pad(scores * math.sqrt(width), (0, 0, 0, width - rows))[None, None]
    return threshold_attention(queries, keys, keys, power, False, None)[0, 0, :rows]


def hard_rows(dtype: torch.dtype, keys: int = 100) -> Tensor:
    """Equal scores; one above all; pairs; steps of every size; beyond the range of an exponential; near each other and far from zero."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(keys, keys, dtype=torch.float64, generator=generator)[:6]
    rows = [
        torch.zeros(keys),
        torch.eye(keys)[3] * 50,
        torch.arange(keys) // 2 * 0.1,
        -(2.0 ** torch.linspace(-30, 10, keys)),
        noise[0] * 1e4,
    ]
    rows += [noise[1] * 1e-3 + 1e3, noise[2], noise[3] * 0.05, -torch.arange(keys) / keys, -(torch.arange(keys) / keys).sqrt()]
    return torch.stack([row.double() for row in rows]).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@powers
def test_rows_that_are_hard_sum_to_one_and_are_those_of_a_bisection(power: int, dtype: torch.dtype) -> None:
    scores = hard_rows(dtype)
    weights = attention_of(scores, power)
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(scores), dtype=dtype), rtol=0.0, atol=8 * unit)
    # A score of 1e4 is rounded, by the factor sqrt(d) and back, in its last digit.
    torch.testing.assert_close(
        weights.double(), by_bisection(scores, power), rtol=0.0, atol=32 * unit * max(1.0, float(scores.abs().max()))
    )


@powers
def test_few_steps_are_taken(power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of twice the keys costs about the same number, and the worst of these is far from the limit."""
    taken: list[int] = []
    plain = torch.fmax

    def counted(x: Tensor, y: Tensor) -> Tensor:
        taken[-1] += 1
        return plain(x, y)

    monkeypatch.setattr(torch, "fmax", counted)
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(8, keys, generator=generator) for keys in (64, 1024)]
    for scores in (*drawn, hard_rows(torch.float64, 200)):
        taken.append(0)
        attention_of(scores, power)
    assert all(2 <= steps <= 16 for steps in taken[:2]) and taken[2] < MOST_STEPS / 2


def draw(seq_len: int, dtype: torch.dtype = torch.float64, heads: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seq_len)
    return [torch.randn(2, heads, seq_len, 4, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


def results(inputs: list[Tensor], *args: Any) -> list[Tensor]:
    out = threshold_attention(*inputs, *args)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    if args[2] is not None:
        upstream = upstream.masked_fill(args[2][:, None, :, None], 0.0)
        out = out.masked_fill(args[2][:, None, :, None], 0.0)
    return [out, *torch.autograd.grad(out, inputs, upstream)]


@pytest.mark.parametrize(("size", "rows"), [(1, 1), (40, 3), (150, 7), (100, 100)])
@pytest.mark.parametrize("padded", [False, True])
@causal_or_not
@powers
def test_blocks_of_any_size_give_the_same(
    power: int, causal: bool, padded: bool, size: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several rows at once, a last block that is smaller, one head at a time and some; against all in one."""
    inputs, mask = draw(17), None
    if padded:
        mask = torch.zeros(2, 17, dtype=torch.bool)
        mask[0, :5] = mask[1, ::3] = True
        inputs = [x.detach().masked_fill(mask[:, None, :, None], 0.0).requires_grad_() for x in inputs]
    whole = results(inputs, power, causal, mask)
    monkeypatch.setattr(threshold, "BLOCK_SCORES", {"cpu": size})
    monkeypatch.setattr(threshold, "FEWEST_ROWS", rows)
    for one, other in zip(results(inputs, power, causal, mask), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("training", [False, True])
@powers
def test_no_matrix_is_held(power: int, training: bool) -> None:
    """At 1,500 tokens the matrices of two heads would take 18 MB; two blocks take 4."""
    q, k, v = (x.detach()[:1].requires_grad_(training) for x in draw(1500, torch.float32, heads=2))

    def call(_: int) -> Tensor:
        out = threshold_attention(q, k, v, power, False, None)
        if training:
            torch.autograd.grad(out.sum(), (q, k, v))
        return out

    call(0)
    assert 0 < peak_memory_bytes(call, "cpu") < 7e6


@powers
def test_a_sequence_of_nan_disturbs_no_other(power: int) -> None:
    inputs = [x.detach() for x in draw(20)]
    alone = threshold_attention(*inputs, power, False, None)
    disturbed = copy.deepcopy(inputs)
    for x in disturbed:
        x[1] = math.nan
    out = threshold_attention(*disturbed, power, False, None)
    torch.testing.assert_close(out[0], alone[0])
    assert out[1].isnan().all()


@causal_or_not
@powers
def test_vmap_folds_into_the_batch(power: int, causal: bool) -> None:
    q, k, v = (x.detach() for x in draw(10))
    mapped = torch.func.vmap(lambda x, y: threshold_attention(x, k, y, power, causal, None))(torch.stack([q, 2 * q]), torch.stack([v, -v]))
    expected = torch.stack([threshold_attention(q, k, v, power, causal, None), threshold_attention(2 * q, k, -v, power, causal, None)])
    torch.testing.assert_close(mapped, expected)
