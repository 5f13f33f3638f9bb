"""The kernel of linear attention: chunks against the dense sum, large keys, empty rows, half types, growth; and ranks of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import attnbench
from attnbench.attention import token_ranks
from attnbench.kernels.linear import CHUNK, kernel_attention, kernel_matrix

FEATURES, VALUE_DIM = 7, 3
LENGTHS = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)


def draw(seq_len: int, signed: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features of queries and keys, values, and logarithmic scales of keys."""
    generator = torch.Generator().manual_seed(seq_len)
    phi_q, phi_k = torch.randn(2, 2, 3, seq_len, FEATURES, dtype=torch.float64, generator=generator)
    v = torch.randn(2, 3, seq_len, VALUE_DIM, dtype=torch.float64, generator=generator)
    log_scale = 2.0 * torch.randn(2, 3, seq_len, dtype=torch.float64, generator=generator)
    return (phi_q, phi_k, v, log_scale) if signed else (phi_q.exp(), phi_k.exp(), v, log_scale)


def dense(phi_q: Tensor, phi_k: Tensor, v: Tensor, causal: bool, mask: Tensor | None, log_scale: Tensor | None) -> Tensor:
    weights = torch.einsum("bhif,bhjf->bhij", phi_q, phi_k)
    if log_scale is not None:
        weights = weights * log_scale.exp()[:, :, None, :]
    if mask is not None:
        weights = weights * (~mask)[:, None, None, :]
    weights = weights.tril() if causal else weights
    denominators = weights.sum(-1, keepdim=True)
    if mask is not None:
        weights = weights.masked_fill(mask[:, None, :, None], 0.0)
        denominators = denominators.masked_fill(mask[:, None, :, None], 1.0)
    return torch.einsum("bhij,bhjd->bhid", weights, v) / denominators


def padding(seq_len: int) -> Tensor:
    mask = torch.zeros(2, seq_len, dtype=torch.bool)
    mask[0, : seq_len // 3] = True
    mask[1, seq_len // 2 :: 2] = True
    return mask


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("seq_len", LENGTHS)
def test_sums_and_gradients_are_those_of_the_dense_form(seq_len: int, causal: bool, padded: bool, scaled: bool) -> None:
    inputs = [x.requires_grad_() for x in draw(seq_len)]
    phi_q, phi_k, v, log_scale = inputs
    mask, scale = padding(seq_len) if padded else None, log_scale if scaled else None
    out = kernel_attention(phi_q, phi_k, v, causal, mask, scale)
    expected = dense(phi_q, phi_k, v, causal, mask, scale)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(kernel_matrix(phi_q, phi_k, causal, mask, scale) @ v, expected, rtol=1e-10, atol=1e-12)
    upstream, used = torch.randn_like(out), inputs if scaled else inputs[:3]
    for own, wanted in zip(torch.autograd.grad(out, used, upstream), torch.autograd.grad(expected, used, upstream), strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
def test_features_may_be_negative(causal: bool) -> None:
    """Denominators of both signs: a clamp would change the rows whose denominator is below it."""
    phi_q, phi_k, v, _ = draw(CHUNK + 9, signed=True)
    denominators = (phi_q @ phi_k.mT).tril().sum(-1) if causal else (phi_q @ phi_k.mT).sum(-1)
    assert (denominators < 0).any() and (denominators > 0).any()
    torch.testing.assert_close(kernel_attention(phi_q, phi_k, v, causal), dense(phi_q, phi_k, v, causal, None, None), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("later", [5, CHUNK + 5])
def test_a_large_key_that_follows_does_not_touch_a_causal_row(later: int) -> None:
    """In the same chunk or in another one; with the largest of all keys taken off, e^-2000 would leave the rows before it empty."""
    phi_q, phi_k, v, log_scale = (x.float() for x in draw(2 * CHUNK))
    changed = log_scale.clone()
    changed[:, :, later] = 2000.0
    before, after = (kernel_attention(phi_q, phi_k, v, True, None, scale) for scale in (log_scale, changed))
    assert torch.equal(before[:, :, :later], after[:, :, :later])
    torch.testing.assert_close(after[:, :, later:], v[:, :, later : later + 1].expand(-1, -1, 2 * CHUNK - later, -1))


@pytest.mark.parametrize("causal", [False, True])
def test_keys_of_any_scale_are_balanced(causal: bool) -> None:
    """Adding a constant to every logarithm changes nothing, where e^s alone would overflow or underflow."""
    phi_q, phi_k, v, log_scale = draw(CHUNK + 9)
    expected = dense(phi_q, phi_k, v, causal, None, log_scale)
    for constant in (-3000.0, 3000.0):
        torch.testing.assert_close(kernel_attention(phi_q, phi_k, v, causal, None, log_scale + constant), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
def test_a_padded_key_is_not_the_largest(causal: bool) -> None:
    """Taking its e^2000 off would leave every row empty."""
    phi_q, phi_k, v, log_scale = draw(CHUNK + 9)
    mask = padding(CHUNK + 9)
    expected = kernel_attention(phi_q, phi_k, v, causal, mask, log_scale)
    dirty = log_scale.masked_fill(mask[:, None, :], 2000.0)
    assert torch.equal(kernel_attention(phi_q, phi_k, v, causal, mask, dirty), expected)
    assert torch.equal(kernel_matrix(phi_q, phi_k, causal, mask, dirty), kernel_matrix(phi_q, phi_k, causal, mask, log_scale))
    assert (expected != 0.0).any(-1).sum() == 3 * (~mask).sum()


@pytest.mark.parametrize("weight", [0.0, 1e-310])
@pytest.mark.parametrize("causal", [False, True])
def test_a_row_without_weight_is_zero_and_has_zero_gradients(causal: bool, weight: float) -> None:
    phi_q, phi_k, v, _ = draw(5)
    phi_q[:, :, 3] = weight / 1e3
    inputs = [x.requires_grad_() for x in (phi_q, phi_k, v)]
    out = kernel_attention(*inputs, causal)
    assert (out[:, :, 3] == 0.0).all() and (out[:, :, [0, 1, 2, 4]] != 0.0).all()
    gradients = torch.autograd.grad(out[:, :, 3].sum(), inputs)
    assert all((gradient == 0.0).all() for gradient in gradients)
    assert (kernel_matrix(phi_q, phi_k, causal)[:, :, 3] == 0.0).all()


def test_half_types_are_summed_in_float32() -> None:
    """A bfloat16 running sum of ones stops at 256."""
    seq_len = 4096
    zeros = torch.zeros(1, 1, seq_len, 2, dtype=torch.bfloat16)  # elu(0) + 1 = 1
    v = (torch.arange(seq_len) % 4 == 0).to(torch.bfloat16)[None, None, :, None].expand(-1, -1, -1, 2)
    out = attnbench.build("linear_elu", 1, 2)(zeros, zeros, v, causal=True)
    assert out.dtype == torch.bfloat16
    counts = torch.arange(1, seq_len + 1)
    exact = torch.div(counts + 3, 4, rounding_mode="floor") / counts
    torch.testing.assert_close(out[0, 0, :, 0].float(), exact, rtol=2**-8, atol=0.0)


class Elements(TorchDispatchMode):
    """Counts the elements of every tensor that an operation gives, and those of the largest."""

    def __init__(self) -> None:
        super().__init__()
        self.total = self.largest = 0

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(x, Tensor):
                self.total += x.numel()
                self.largest = max(self.largest, x.numel())
        return out


def training_elements(name: str, causal: bool, seq_len: int, padded: bool) -> Elements:
    torch.manual_seed(0)
    module = attnbench.build(name, 1, 16, seq_len=seq_len, **({"rank": 64} if name == "linformer" else {}))
    q, k, v = (torch.randn(1, 1, seq_len, 16, requires_grad=True) for _ in range(3))
    mask = torch.arange(seq_len)[None] % 5 == 4 if padded else None
    with Elements() as counted:
        module(q, k, v, causal=causal, padding_mask=mask).sum().backward()
    return counted


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("name", "causal"),
    [(name, causal) for name in ("linear_elu", "performer", "cosformer") for causal in (False, True)]
    + [("nystrom", False), ("linformer", False)],
)
def test_training_grows_linearly_and_no_tensor_is_large(name: str, causal: bool, padded: bool) -> None:
    """No tensor of seq_len x features x head_dim (at least 256 a token here), nor of seq_len x seq_len."""
    short, long = (training_elements(name, causal, seq_len, padded) for seq_len in (1024, 2048))
    assert long.total < 2.1 * short.total
    assert long.largest <= 2048 * CHUNK


def test_the_count_sees_a_quadratic_mechanism() -> None:
    short, long = (training_elements("softmax_math", False, seq_len, False) for seq_len in (1024, 2048))
    assert long.total > 3.5 * short.total
    assert long.largest == 2048**2


def test_token_ranks_by_hand() -> None:
    device = torch.device("cpu")
    assert token_ranks(3, None, device).tolist() == [[0, 1, 2]]
    mask = torch.tensor([[True, False, True, True, False], [False, False, False, False, True], [True] * 5])
    ranks = token_ranks(5, mask, device)
    assert [row[~hidden].tolist() for row, hidden in zip(ranks, mask, strict=True)] == [[0, 1], [0, 1, 2, 3], []]
    assert ranks.min() >= 0 and ranks.max() < 5
