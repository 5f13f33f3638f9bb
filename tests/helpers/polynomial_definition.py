"""Polynomial attention by its definition, to hold the Triton kernels against: on the CPU by the interpreter, or on a GPU."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NAMES = ("out", "d_q", "d_k", "d_v")
ORDERS = 16  # of the features of a head


def draw(*shape: int, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v and the gradient of the output."""
    q, k, v, d_out = torch.randn(4, *shape, generator=torch.Generator().manual_seed(seed)).to(dtype).to(device)
    return q, k, v, d_out


def draw_scale(kind: str, batch: int, seq_len: int, device: str = "cpu") -> Tensor | float:
    """A number, or a float64 tensor with one scale a sequence or one a row, as `count_visible` makes them."""
    shape = {"sequence": (batch, 1, 1, 1), "row": (1, 1, seq_len, 1)}
    if kind == "number":
        return 1 / 14
    return (0.1 + torch.rand(shape[kind], dtype=torch.float64, generator=torch.Generator().manual_seed(7))).to(device)


def plain(q: Tensor, k: Tensor, v: Tensor, powers: tuple[int, ...], scale: Tensor | float, causal: bool) -> Tensor:
    """The dense form, in the dtype of q."""
    scores = q @ (k / math.sqrt(q.shape[-1])).mT
    weights = torch.stack([scores**power for power in powers]).sum(0) * (scale.to(q.dtype) if isinstance(scale, Tensor) else scale)
    return (weights.tril() if causal else weights) @ v


def with_gradients(form, q: Tensor, k: Tensor, v: Tensor, d_out: Tensor, *rest: object) -> tuple[Tensor, ...]:  # type: ignore[no-untyped-def]
    """out, d_q, d_k, d_v."""
    leaves = [x.detach().requires_grad_() for x in (q, k, v)]
    out = form(*leaves, *rest)
    return (out.detach(), *torch.autograd.grad(out, leaves, d_out))


def assert_close_to_definition(results: tuple[Tensor, ...], inputs: tuple[Tensor, ...], *rest: object) -> None:
    """||result - exact|| at most twice the most that the plain form loses in the same dtype, and one rounding of the result.

    What it loses is by chance little or much, and other on another processor: for x^7 a tenth of what it loses if it adds the same products
    in another order. So it adds them in several, those of the features within a score.
    """
    exact = with_gradients(plain, *(x.double() for x in inputs), *rest)
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(inputs[0].shape[-1], generator=generator).to(inputs[0].device) for _ in range(ORDERS)]
    naive = [[x[..., order.argsort()] for x in with_gradients(plain, *(x[..., order] for x in inputs), *rest)] for order in orders]
    for name, result, wanted, *others in zip(NAMES, results, exact, *naive, strict=True):
        assert result.dtype == inputs[0].dtype and result.shape == wanted.shape, name
        error = (result.double() - wanted).norm()
        allowed = 2 * torch.stack([(other.double() - wanted).norm() for other in others]).max()
        assert error <= allowed + torch.finfo(result.dtype).eps * wanted.norm(), f"{name}: {error:.2e}, allowed {allowed:.2e}"
