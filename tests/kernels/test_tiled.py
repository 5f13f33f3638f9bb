"""Tiles of normalised activations against dense float64 definitions: sums, their gradients, padding, drift, digits and large scores."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attnbench.kernels import tiled, tiles
from attnbench.kernels.normalised import Exponential, Normalised, RectifiedExponential
from helpers.mechanisms import relative_error

ACTIVATIONS = [Exponential(), RectifiedExponential()]
activations = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda x: type(x).__name__)
causal_or_not = pytest.mark.parametrize("causal", [False, True])
Form = Callable[..., tuple[Tensor, Tensor]]


def draw(seq_len: int, size: float = 1.0, dtype: torch.dtype = torch.float64, heads: int = 3, head_dim: int = 5) -> list[Tensor]:
    """q of some size, k and v."""
    generator = torch.Generator().manual_seed(seq_len)
    shapes = [(2, heads, seq_len, dim) for dim in (head_dim, head_dim, 7)]
    q, k, v = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return [size * q / math.sqrt(head_dim), k, v]


def padding(seq_len: int) -> Tensor:
    mask = torch.zeros(2, seq_len, dtype=torch.bool)
    mask[0, : seq_len // 3] = True
    mask[1, seq_len // 2 :: 3] = True
    return mask


def in_tiles(activation: Normalised, causal: bool, mask: Tensor | None = None) -> Form:
    """The quotient of the sums, and the logarithm of the denominator."""

    def form(q: Tensor, k: Tensor, v: Tensor, drift: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if mask is not None:
            q, k, v = (x.masked_fill(mask[:, None, :, None], 0.0) for x in (q, k, v))
        total, sums, shift = tiled.normalised_sums(q, k, v, activation, causal, mask, drift)
        sums = sums.masked_fill(sums == 0.0, 1.0)
        return total / sums, shift + sums.log()

    return form


def densely(activation: Normalised, causal: bool, mask: Tensor | None = None) -> Form:
    """The same from whole matrices, in the dtype of its inputs; rows without a key are zero."""

    def form(q: Tensor, k: Tensor, v: Tensor, drift: Tensor | None = None) -> tuple[Tensor, Tensor]:
        seq_len = q.shape[-2]
        visible = torch.ones(seq_len, seq_len, dtype=torch.bool)
        visible = (visible.tril() if causal else visible)[None, None]
        if mask is not None:
            visible = visible & ~mask[:, None, None, :]
        scores = q @ k.mT
        if drift is not None:
            scores = scores + (drift[..., :, None] - drift[..., None, :]).to(scores.dtype)
        largest = scores.masked_fill(~visible, -math.inf).amax(-1, keepdim=True).clamp(min=0.0).detach()
        exponentials = (scores - largest).exp()
        below = 0.0 if isinstance(activation, Exponential) else (-largest).exp()
        weights = torch.where(visible, exponentials - below, 0.0)
        sums = weights.abs().sum(-1, keepdim=True)
        sums = sums.masked_fill(sums == 0.0, 1.0)
        return weights.relu() @ v.masked_fill(~visible.any(-2)[..., None], 0.0) / sums, largest + sums.log()

    return form


def gradients(outs: tuple[Tensor, Tensor], inputs: list[Tensor], rows: Tensor | float = 1.0) -> tuple[Tensor, ...]:
    """Of both results at once, from the given rows alone."""
    generator = torch.Generator().manual_seed(1)
    upstream = [torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype) * rows for out in outs]
    return torch.autograd.grad(outs, inputs, upstream)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that a short sequence has several, and the last ones are ragged."""
    for name, value in {"TILE_SCORES": 2 * 11 * 16, "KEYS": 16, "CAUSAL_KEYS": 16, "HEADS": 2}.items():
        monkeypatch.setattr(tiles, name, value)


@pytest.mark.usefixtures("small_blocks")
@activations
@causal_or_not
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("size", [0.1, 1.0, 30.0], ids=lambda size: f"scores of {size:g}")
@pytest.mark.parametrize("seq_len", [1, 2, 63])
def test_sums_are_the_definition(activation: Normalised, causal: bool, padded: bool, size: float, seq_len: int) -> None:
    """Scores of 0.1 and 1 need no shift of e^s, those of 30 do."""
    mask = padding(seq_len) if padded else None
    inputs = [x.requires_grad_() for x in draw(seq_len, size)]
    outs, exact = in_tiles(activation, causal, mask)(*inputs), densely(activation, causal, mask)(*inputs)
    rows = 1.0 if mask is None else (~mask)[:, None, :, None].double()
    for out, wanted in zip(outs, exact, strict=True):
        torch.testing.assert_close(out * rows, wanted * rows)
    for found, wanted in zip(gradients(outs, inputs, rows), gradients(exact, inputs, rows), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.usefixtures("small_blocks")
@causal_or_not
@pytest.mark.parametrize("falls", [True, False])
def test_a_drift_is_added_between_row_and_key(causal: bool, falls: bool) -> None:
    """One that only falls, as sums of log gates do, and one that rises too."""
    steps = torch.randn(2, 3, 63, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    drift = (-steps.abs() if falls else steps).cumsum(-1)
    inputs = [x.requires_grad_() for x in (*draw(63), drift)]
    mask = padding(63)
    rows = (~mask)[:, None, :, None].double()
    outs, exact = in_tiles(Exponential(), causal, mask)(*inputs), densely(Exponential(), causal, mask)(*inputs)
    for out, wanted in zip(outs, exact, strict=True):
        torch.testing.assert_close(out * rows, wanted * rows)
    for found, wanted in zip(gradients(outs, inputs, rows), gradients(exact, inputs, rows), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("start", [0.0, 1e6])
def test_no_digits_are_lost_to_a_large_drift(start: float) -> None:
    """Strong gates in bursts, which take c to -60,000 at rows that still see their neighbours: as exact as differences in float64."""
    generator = torch.Generator().manual_seed(3)
    gates = F.logsigmoid(2.0 + torch.randn(2, 3, 1100, generator=generator, dtype=torch.float64))
    gates -= 600.0 * (torch.rand(2, 3, 1100, generator=generator) < 0.1)
    drift = start + gates.cumsum(-1)
    inputs = draw(1100)
    (exact, _), single = densely(Exponential(), True)(*inputs, drift), [x.float() for x in inputs]
    plain, _ = densely(Exponential(), True)(*single, drift)
    out, _ = in_tiles(Exponential(), True)(*single, drift)
    assert relative_error(out, exact) < 2 * relative_error(plain, exact) < 1e-6


@activations
@causal_or_not
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_float32_at_the_real_block_sizes(activation: Normalised, causal: bool, size: float) -> None:
    inputs = [x.float().requires_grad_() for x in draw(1100, size)]
    double = [x.detach().double().requires_grad_() for x in inputs]
    outs, exact = in_tiles(activation, causal)(*inputs), densely(activation, causal)(*double)
    assert all(relative_error(out, wanted) < 2e-6 * size for out, wanted in zip(outs, exact, strict=True))
    for found, wanted in zip(gradients(outs, inputs), gradients(exact, double), strict=True):
        assert relative_error(found, wanted) < 2e-6 * size


@activations
def test_a_row_whose_scores_rise_to_the_end(activation: Normalised) -> None:
    """Each tile raises the maximum by some hundred: what was summed before vanishes, and nothing overflows."""
    q, k, v = torch.ones(1, 2, 600, 1), torch.arange(600.0).expand(1, 2, 600).unsqueeze(-1), torch.randn(1, 2, 600, 3)
    for form in (in_tiles(activation, False), in_tiles(activation, True)):
        out, log = form(q, k, v)
        weights = (torch.arange(600.0, dtype=torch.float64) - 599.0).softmax(-1)
        torch.testing.assert_close(out[..., -1, :].double(), (weights[:, None] * v.double()).sum(-2), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(log[..., -1, 0], torch.full((1, 2), 599.0 - math.log(1 - math.exp(-1))))


def test_small_scores_keep_their_digits() -> None:
    """e^s - 1 of scores of 1e-4 would have three digits in float32."""
    inputs = draw(63, 1e-4)
    exact, _ = in_tiles(RectifiedExponential(), False)(*inputs)
    out, _ = in_tiles(RectifiedExponential(), False)(*(x.float() for x in inputs))
    assert relative_error(out, exact) < 1e-6
