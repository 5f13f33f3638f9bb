"""The delta rule token by token, as it is defined: what the chunked form is held against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def recurrence(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor | None = None) -> Tensor:
    """out_i = q_i h_i / sqrt(d), h <- e^{g_i} h, then h <- h + beta_i k_i (v_i - h^T k_i)^T; q and k are brought to unit length."""
    q, k = (x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
    state = torch.zeros((*k.shape[:2], k.shape[3], v.shape[3]), dtype=v.dtype)
    decays = [None] * q.shape[2] if log_decay is None else log_decay.exp()[..., None, None].unbind(2)
    outs = []
    for q_i, k_i, v_i, beta_i, decay in zip(*(x.unbind(2) for x in (q, k, v, beta[..., None])), decays, strict=True):
        state = state if decay is None else decay * state
        replaced = (k_i[..., None, :] @ state)[..., 0, :]
        state = state + k_i[..., None] * (beta_i * (v_i - replaced))[..., None, :]
        outs.append((q_i[..., None, :] @ state)[..., 0, :])
    return torch.stack(outs, 2) * q.shape[-1] ** -0.5


def token_by_token(name: str, module: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The output of deltanet or gated_deltanet for unpadded inputs, in their dtype."""
    (q, k, v), x, own = (inputs[key] for key in "qkv"), inputs["hidden"], dict(module.named_parameters())
    if name == "deltanet":
        return recurrence(q, k, v, torch.sigmoid(x @ own["w"].mT).mT)
    steps = F.softplus(x @ own["w_decay"].mT + own["b"], threshold=100.0)
    return recurrence(q, k, v, torch.sigmoid(x @ own["w_beta"].mT).mT, (-own["a"].exp() * steps).mT)
