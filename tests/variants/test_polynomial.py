"""Polynomial attention: hand-computed cases, the scale's N, and the Frobenius norms of the paper."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import attnbench
from attnbench.errors import BadInput


def build(num_heads: int = 1, head_dim: int = 4, **params: object) -> nn.Module:
    return attnbench.build("polynomial", num_heads, head_dim, **params)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.randn(3, *shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return q, k, v


def scores(q: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(q.shape[-1])


def tiny() -> tuple[Tensor, Tensor, Tensor]:
    """head_dim 4, so that sqrt(d) is 2: the scores are [[1, 2], [-1, 3]]."""
    q = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    k = torch.tensor([[2.0, -1.0, 0.0, 0.0], [4.0, 3.0, 0.0, 0.0]])
    v = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 3.0]])
    return q[None, None], k[None, None], v[None, None]


def test_a_tiny_case_by_hand() -> None:
    expected = torch.tensor([[1.0, 8.0, 2.0, 24.0], [-1.0, 27.0, -2.0, 81.0]]) / math.sqrt(2)
    torch.testing.assert_close(build()(*tiny())[0, 0], expected)


def test_a_tiny_causal_case_by_hand() -> None:
    """Row 0 sees one key, so its N is 1."""
    expected = torch.tensor([[1.0, 0.0, 2.0, 0.0], [-1.0, 27.0, -2.0, 81.0]]) / torch.tensor([[1.0], [math.sqrt(2)]])
    torch.testing.assert_close(build()(*tiny(), causal=True)[0, 0], expected)


@pytest.mark.parametrize(
    ("degree", "by_hand"),
    [
        (1, [[1.0, 2.0], [-1.0, 3.0]]),
        (2, [[1.0, 4.0], [1.0, 9.0]]),
        ((3,), [[1.0, 8.0], [-1.0, 27.0]]),
        ((3, 1), [[2.0, 10.0], [-2.0, 30.0]]),
        ([3, 1], [[2.0, 10.0], [-2.0, 30.0]]),
        (5, [[1.0, 32.0], [-1.0, 243.0]]),
    ],
)
def test_degrees_by_hand(degree: int | tuple[int, ...], by_hand: list[list[float]]) -> None:
    q, k, _ = tiny()
    torch.testing.assert_close(build(degree=degree, scale=1.0).matrix(q, k)[0, 0], torch.tensor(by_hand))


def test_cubic_plus_linear_is_its_definition() -> None:
    q, k, v = draw(2, 3, 13, 5)
    s = scores(q, k)
    out = build(3, 5, degree=(3, 1)).double()(q, k, v)
    torch.testing.assert_close(out, (s**3 + s) / math.sqrt(13) @ v)


@pytest.mark.parametrize("scale", [1 / 14, 2, -0.5])
def test_a_number_is_the_scale_whatever_the_length(scale: float) -> None:
    module = build(3, 5, scale=scale).double()
    for seq_len in (1, 7, 20):
        q, k, v = draw(2, 3, seq_len, 5)
        torch.testing.assert_close(module(q, k, v), scale * scores(q, k) ** 3 @ v)
        torch.testing.assert_close(module(q, k, v, causal=True), (scale * scores(q, k) ** 3).tril() @ v)
    assert not list(module.parameters())


def test_a_learned_scale_starts_at_one_over_sqrt_n_and_learns() -> None:
    module = build(3, 5, scale="learned").double()
    q, k, v = draw(2, 3, 13, 5)
    torch.testing.assert_close(module(q, k, v), build(3, 5).double()(q, k, v))
    (gain,) = module.parameters()
    assert gain.shape == (3,)
    with torch.no_grad():
        gain.copy_(torch.tensor([1.0, -2.0, 0.5]))
    out = module(q, k, v)
    torch.testing.assert_close(out, gain[:, None, None] * build(3, 5).double()(q, k, v))
    out.square().sum().backward()
    # out is linear in the gain of its head, so that the derivative of its square is 2 out^2 / gain
    torch.testing.assert_close(gain.grad, 2 * out.square().sum((0, 2, 3)) / gain)


def test_causal_n_is_the_rows_own_count() -> None:
    q, k, v = draw(2, 3, 13, 5)
    matrix = scores(q, k).pow(3).tril() / torch.arange(1, 14, dtype=torch.float64).sqrt()[:, None]
    torch.testing.assert_close(build(3, 5).double()(q, k, v, causal=True), matrix @ v)


@pytest.mark.parametrize("causal", [False, True])
def test_n_counts_unpadded_keys(causal: bool) -> None:
    q, k, v = draw(3, 2, 7, 5)
    padded = torch.zeros(3, 7, dtype=torch.bool)
    padded[0, 5:] = padded[1, :3] = padded[2, [1, 4]] = True
    out = build(2, 5).double()(q, k, v, causal=causal, padding_mask=padded)
    for row in range(3):
        for i in range(7):
            seen = [j for j in range(7) if not padded[row, j] and (j <= i or not causal)]
            weights = scores(q, k)[row, :, i, seen] ** 3 / math.sqrt(max(1, len(seen)))
            expected = (weights[:, None] @ v[row][:, seen])[:, 0]
            torch.testing.assert_close(out[row, :, i], torch.zeros_like(expected) if padded[row, i] else expected)


@pytest.mark.parametrize(("degree", "expected"), [(1, 1.00), (2, 1.77), (3, 4.05)])
def test_frobenius_norm_is_of_the_order_of_sqrt_n(degree: int, expected: float) -> None:
    q, k, _ = draw(4, 8, 196, 64)
    norm = torch.linalg.matrix_norm(build(8, 64, degree=degree).matrix(q, k)).mean() / math.sqrt(196)
    assert float(norm) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", ["softmax", "softmax_math"])
def test_frobenius_norm_of_softmax_is_far_below_sqrt_n(name: str) -> None:
    q, k, _ = draw(4, 8, 196, 64)
    norm = torch.linalg.matrix_norm(attnbench.build(name, 8, 64).matrix(q, k)).mean() / math.sqrt(196)
    assert float(norm) == pytest.approx(0.117, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_n_is_not_rounded_away_in_half_precision(dtype: torch.dtype) -> None:
    """float16 ends at 65,504, below the longest sequence of the grid, where 1/sqrt(N) is 1/256."""
    scale = build(1, 1)._scale(torch.ones(1, 1, 65_536, 1, dtype=dtype), causal=False, padding_mask=None)
    assert float(scale.squeeze()) == pytest.approx(1 / 256, rel=1e-2)


@pytest.mark.parametrize("degree", [0, -1, (), (3, 0), (3, 1.5), "3", 2.0, None], ids=repr)
def test_a_bad_degree_is_refused_with_what_is_allowed(degree: object) -> None:
    with pytest.raises(BadInput, match=r"degree is .*whole number of at least 1.*\(3, 1\)"):
        build(degree=degree)


@pytest.mark.parametrize("scale", ["sqr", "", None, math.nan, [1.0]], ids=repr)
def test_a_bad_scale_is_refused_with_what_is_allowed(scale: object) -> None:
    with pytest.raises(BadInput, match=r"scale is .*'sqrt', 'learned' or a number"):
        build(scale=scale)


def test_an_unknown_parameter_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"unknown parameter of polynomial 'degre'; did you mean 'degree'\?"):
        build(degre=3)
