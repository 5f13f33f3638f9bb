"""Measures of a stack: its conditioning, how much its tokens differ, and the norms of its attention matrices."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from attnbench.store.metrics import SATURATED

Probe = Callable[[nn.Module], Mapping[str, float]]

_ROWS_AT_ONCE = 128
_LARGEST_SQUARED = 1024  # tokens; A^T A of more costs more than the pass


def jacobian_condition(stack: Callable[[Tensor], Tensor], tokens: Float[Tensor, "seq_len d_model"]) -> float:
    """Condition number of the Jacobian of all output tokens by all input tokens: from 1 to 1e15, where it is saturated.

    It is saturated too for a Jacobian that is zero, for what does not depend on its input has no condition, and one that is not finite.
    Give a stack and tokens in float64. One backward pass serves 128 rows of the Jacobian, each on its own copy of the tokens.
    """
    size = tokens.numel()
    rows = []
    for start in range(0, size, _ROWS_AT_ONCE):
        count = min(_ROWS_AT_ONCE, size - start)
        copies = tokens.detach().expand(count, *tokens.shape).clone().requires_grad_()
        out = stack(copies).flatten(1)
        seeds = torch.zeros_like(out)
        seeds[torch.arange(count), torch.arange(start, start + count)] = 1.0
        if out.requires_grad:
            (gradient,) = torch.autograd.grad(out, copies, seeds, allow_unused=True, materialize_grads=True)
        else:
            gradient = torch.zeros_like(copies)
        rows.append(gradient.flatten(1))
    jacobian = torch.cat(rows)
    if not jacobian.isfinite().all():
        return SATURATED
    singular = torch.linalg.svdvals(jacobian)
    if not singular[-1] > 0.0:
        return SATURATED
    return min(SATURATED, max(1.0, float(singular[0] / singular[-1])))


def effective_rank(tokens: Float[Tensor, "seq_len d_model"]) -> float:
    """exp of the entropy of the normalised singular values: 1 when all tokens are parallel, or zero. Roy and Vetterli 2007.

    NaN for tokens that are not finite.
    """
    if not tokens.isfinite().all():
        return math.nan
    singular = torch.linalg.svdvals(tokens.detach().double())
    share = singular / singular.sum().clamp_min(1e-300)
    return float(torch.exp(-(share * share.clamp_min(1e-300).log()).sum()))


def dong_residual(tokens: Float[Tensor, "seq_len d_model"]) -> float:
    """||X - 1 m^T||_F / ||X||_F with m the mean token: 0 when all tokens are the same, or zero, and 1 when their mean is zero.

    Dong, Cordonnier, Loukas 2021, arXiv 2103.03404, in the Frobenius norm. NaN for tokens that are not finite.
    """
    if not tokens.isfinite().all():
        return math.nan
    x = tokens.detach().double()
    size = float(x.abs().max()) if x.numel() else 0.0
    if size == 0.0:
        return 0.0
    x = x / size  # the squares of 1e-200 and of 1e200 are no numbers
    return float((x - x.mean(0)).norm() / x.norm())


def attention_norms(stack: nn.Module, tokens: Float[Tensor, "batch seq_len d_model"], causal: bool = False) -> dict[str, list[float]]:
    """Per layer, the mean over batch and heads of ||A||_F and of ||A^T A - I||_F; nothing for mechanisms without a matrix."""
    matrices = _pass(stack, tokens, causal, None).matrices
    if not matrices:
        return {}
    identity = torch.eye(tokens.shape[-2], dtype=tokens.dtype, device=tokens.device)
    return {
        "attention_frobenius": [float(torch.linalg.matrix_norm(a).mean()) for a in matrices],
        "orthogonality_error": [float(torch.linalg.matrix_norm(a.mT @ a - identity).mean()) for a in matrices],
    }


def by_layer(
    stack: nn.Module, tokens: Float[Tensor, "batch seq_len d_model"], causal: bool, padding_mask: Bool[Tensor, "batch seq_len"] | None
) -> dict[str, float]:
    """Measures of a stack on some tokens, a number a layer, by which its attention and its tokens are followed through training.

    attention_frobenius_layer_1 ...: mean over batch and heads of ||A||_F, for mechanisms that have a matrix, and largest_frobenius_layer_1
    ... and orthogonality_error_layer_1 ...: the largest over batch and heads of ||A||_F and of ||A^T A - I||_F, the latter of matrices that
    are not too large; effective_rank_layer_1 ... and dong_residual_layer_1 ...: mean over the batch of the effective rank and of the
    residual of the unpadded tokens that it gives.
    """
    seen = _pass(stack, tokens, causal, padding_mask)
    unpadded = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device) if padding_mask is None else ~padding_mask
    found: dict[str, float] = {}
    for layer, a in enumerate(seen.matrices, 1):
        norms = torch.linalg.matrix_norm(a.float())
        found[f"attention_frobenius_layer_{layer}"] = float(norms.mean())
        found[f"largest_frobenius_layer_{layer}"] = float(norms.max())
        if a.shape[-1] <= _LARGEST_SQUARED:
            identity = torch.eye(a.shape[-1], device=a.device)
            found[f"orthogonality_error_layer_{layer}"] = float(torch.linalg.matrix_norm(a.mT.float() @ a.float() - identity).max())
    for layer, out in enumerate(seen.tokens, 1):
        rows = [row[keep] for row, keep in zip(out, unpadded, strict=True)]
        found[f"effective_rank_layer_{layer}"] = statistics.fmean(map(effective_rank, rows))
        found[f"dong_residual_layer_{layer}"] = statistics.fmean(map(dong_residual, rows))
    return found


@dataclass
class _Seen:
    """Records of a pass through a stack, layer by layer: the tokens that each block gave, and its dense attention matrix."""

    tokens: list[Tensor] = field(default_factory=list)
    matrices: list[Tensor] = field(default_factory=list)


@torch.no_grad()
def _pass(stack: nn.Module, tokens: Tensor, causal: bool, padding_mask: Tensor | None) -> _Seen:
    seen, called = _Seen(), list[tuple[Any, Tensor, Tensor, dict[str, Tensor]]]()

    def remember(module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        context = {"hidden": keywords["hidden"]} if "hidden" in keywords else {}
        called.append((module, arguments[0], arguments[1], context))

    hooks: list[RemovableHandle] = []
    for module in stack.modules():
        if hasattr(module, "matrix"):
            hooks.append(module.register_forward_pre_hook(remember, with_kwargs=True))
    for block in getattr(stack, "blocks", ()):
        hooks.append(block.register_forward_hook(lambda _module, _arguments, out: seen.tokens.append(out)))
    try:
        stack(tokens, causal, padding_mask)
    finally:
        for hook in hooks:
            hook.remove()
    seen.matrices = [module.matrix(q, k, causal=causal, padding_mask=padding_mask, **context) for module, q, k, context in called]
    return seen


def gradient_norm(module: nn.Module) -> float:
    """Norm of all gradients together, after a backward pass; zero where nothing has one."""
    norms = [p.grad.norm() for p in module.parameters() if p.grad is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0
