"""Polynomial attention whose rows are normalised: in both of its forms, its first causal row, and rows without weight."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnbench.kernels import polynomial, tiles
from attnbench.kernels.polynomial import normalised_polynomial_attention

SQUARE = ((2, 1.0),)


def draw(seq_len: int, head_dim: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 2, seq_len, head_dim, generator=generator).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("by_features", [False, True])
def test_the_first_causal_row_is_its_value_and_does_not_depend_on_its_score(by_features: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The score is 1e-6: the rounding of two products of about 8 over it would be a gradient of about 1."""
    monkeypatch.setattr(polynomial, "are_features_cheaper", lambda *_: by_features)
    q, k, v = draw(300, 8)
    with torch.no_grad():
        q[:, :, 0] *= 1e-6
    out = normalised_polynomial_attention(q, k, v, SQUARE, True, None)
    assert torch.equal(out[:, :, 0], v[:, :, 0])
    upstream = torch.randn_like(out[:, :, 0])
    of_q, of_k, of_v = torch.autograd.grad(out[:, :, 0], (q, k, v), upstream)
    assert not of_q.any() and not of_k.any()
    assert torch.equal(of_v[:, :, 0], upstream) and not of_v[:, :, 1:].any()


@pytest.mark.parametrize("causal", [False, True])
def test_a_row_whose_scores_are_zero_is_zero_also_the_first(causal: bool) -> None:
    q, k, v = draw(8, 4)
    with torch.no_grad():
        q[:, :, 0] = 0.0
    out = normalised_polynomial_attention(q, k, v, SQUARE, causal, None)
    assert not out[:, :, 0].any() and out[:, :, 1:].all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("by_features", [False, True])
@pytest.mark.parametrize("coefficients", [SQUARE, ((0, 1.0), (1, 1.0), (2, 0.5)), ((1, 2.0), (0, 40.0)), ((4, 1.0),)], ids=str)
def test_sums_and_their_gradients_are_those_of_the_matrix(
    coefficients: tuple[tuple[int, float], ...], by_features: bool, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the denominators are come by, with keys that do not count, and an epsilon; tiles are small, and the last ones ragged."""
    monkeypatch.setattr(polynomial, "are_features_cheaper", lambda *_: by_features)
    monkeypatch.setattr(tiles, "TILE_SCORES", 2 * 11 * 16)
    monkeypatch.setattr(tiles, "KEYS", 16)
    monkeypatch.setattr(tiles, "CAUSAL_KEYS", 16)
    inputs = [x.detach().double().requires_grad_() for x in draw(70, 4)]
    q, k, v = inputs
    mask = (torch.arange(70) % 3 == 1)[None]
    hidden = mask[:, None, :, None]
    weights = torch.stack([factor * (q @ k.mT / 2.0) ** power for power, factor in coefficients]).sum(0)
    weights = weights.masked_fill(mask[:, None, None, :], 0.0)
    weights = weights.tril() if causal else weights
    expected = (weights @ v / (weights.sum(-1, keepdim=True) + 0.5)).masked_fill(hidden, 0.0)
    out = normalised_polynomial_attention(q.masked_fill(hidden, 0.0), k.masked_fill(hidden, 0.0), v, coefficients, causal, mask, 0.5)
    torch.testing.assert_close(out, expected)
    upstream = torch.randn_like(out)
    for found, wanted in zip(torch.autograd.grad(out, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("by_features", "causal"), [(False, False), (False, True), (True, False), (True, True)])
def test_mixed_precision_rounds_nothing(by_features: bool, causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the denominators are come by."""
    monkeypatch.setattr(polynomial, "are_features_cheaper", lambda *_: by_features)
    inputs = [x.detach() for x in draw(70, 4)]
    assert inputs[0].dtype == torch.float32
    wanted = normalised_polynomial_attention(*inputs, SQUARE, causal, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(normalised_polynomial_attention(*inputs, SQUARE, causal, None), wanted)
