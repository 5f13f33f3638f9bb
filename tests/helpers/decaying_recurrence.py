"""Decaying sums token by token, as they are defined: what the chunked forms are held against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def recurrence(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, scale: float = 1.0) -> Tensor:
    """out_i = scale q_i S_i, S_i = e^{g_i} S_{i-1} + k_i v_i^T; log_decay is [batch, heads, seq_len, 1 or head_dim]."""
    state = torch.zeros((*k.shape[:2], k.shape[3], v.shape[3]), dtype=v.dtype)
    outs = []
    for q_i, k_i, v_i, decay in zip(*(x.unbind(2) for x in (q, k, v, log_decay.exp())), strict=True):
        state = decay[..., None] * state + k_i[..., None] * v_i[..., None, :]
        outs.append((q_i[..., None, :] @ state)[..., 0, :])
    return scale * torch.stack(outs, 2)


def token_by_token(name: str, module: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The causal output of retention, mamba2 or gla for unpadded inputs, in their dtype."""
    q, k, v = (inputs[key] for key in "qkv")
    scale = q.shape[-1] ** -0.5
    if name == "retention":
        gamma = torch.tensor([1.0 - 0.5 ** (5 + head) for head in range(q.shape[1])], dtype=torch.float64)
        log_decay = gamma.log().to(q.dtype)[:, None, None].expand(*q.shape[:3], 1)
        return recurrence(q, k, v, log_decay, scale)
    own, x = dict(module.named_parameters()), inputs["hidden"]
    if name == "gla":
        logits = torch.einsum("bnr,hdr->bhnd", x @ own["w_1"].mT, own["w_2"]) + own["b"][:, None]
        return recurrence(q, k, v, F.logsigmoid(logits) / 16, scale)
    dt = F.softplus(x @ own["w"].mT + own["b"], threshold=100.0).mT[..., None]
    return recurrence(q, dt * k, v, -own["a"].exp()[:, None, None] * dt) + own["d"][:, None, None] * v
