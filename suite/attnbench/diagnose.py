"""What a stack is like at initialisation: conditioning, rank of its tokens, and its attention matrices."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

SATURATED = 1e15  # above this a condition number in float64 is rounding
_ROWS_AT_ONCE = 128


def jacobian_condition(stack: nn.Module, tokens: Float[Tensor, "seq_len d_model"]) -> float:
    """Condition number of the Jacobian of all output tokens by all input tokens, saturated at 1e15.

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
        (gradient,) = torch.autograd.grad(out, copies, seeds)
        rows.append(gradient.flatten(1))
    jacobian = torch.cat(rows)
    if not jacobian.isfinite().all():
        return SATURATED
    singular = torch.linalg.svdvals(jacobian)
    return min(SATURATED, float(singular[0] / singular[-1].clamp_min(1e-300)))


def effective_rank(tokens: Float[Tensor, "seq_len d_model"]) -> float:
    """exp of the entropy of the normalised singular values: 1 when all tokens are parallel. Roy and Vetterli 2007.

    NaN for tokens that are not finite.
    """
    if not tokens.isfinite().all():
        return math.nan
    singular = torch.linalg.svdvals(tokens.detach().double())
    share = singular / singular.sum().clamp_min(1e-300)
    return float(torch.exp(-(share * share.clamp_min(1e-300).log()).sum()))


def attention_norms(stack: nn.Module, tokens: Float[Tensor, "batch seq_len d_model"]) -> dict[str, list[float]]:
    """Per layer, the mean over batch and heads of ||A||_F and of ||A^T A - I||_F; nothing for mechanisms without a matrix."""
    seen: list[tuple[Any, Tensor, Tensor]] = []

    def remember(module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        seen.append((module, arguments[0], arguments[1]))

    mechanisms = [m for m in stack.modules() if hasattr(m, "matrix")]
    hooks = [m.register_forward_pre_hook(remember, with_kwargs=True) for m in mechanisms]
    with torch.no_grad():
        stack(tokens)
        for hook in hooks:
            hook.remove()
        matrices = [module.matrix(q, k) for module, q, k in seen]
    if not matrices:
        return {}
    identity = torch.eye(tokens.shape[-2], dtype=tokens.dtype, device=tokens.device)
    return {
        "attention_frobenius": [float(torch.linalg.matrix_norm(a).mean()) for a in matrices],
        "orthogonality_error": [float(torch.linalg.matrix_norm(a.mT @ a - identity).mean()) for a in matrices],
    }


def gradient_norm(module: nn.Module) -> float:
    """Norm of all gradients together, after a backward pass."""
    return float(torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm())
