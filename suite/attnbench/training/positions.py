"""How a model knows where its tokens stand: a table that starts as sinusoids, or turns of queries and keys."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST_WAVE = 1000.0  # of the sinusoids that a table starts as, in tokens over 2 pi
SLOWEST_TURN = 10_000.0  # tokens over 2 pi, of rotary positions


def sinusoids(seq_len: int, d_model: int) -> Float[Tensor, "seq_len d_model"]:
    """Sines and cosines of waves from 1 to 1,000 tokens (over 2 pi), of unit size. Vaswani et al. 2017, with shorter waves."""
    phase = torch.arange(seq_len)[:, None] * LONGEST_WAVE ** -(torch.arange(0, d_model, 2) / d_model)
    return math.sqrt(2.0) * torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(1)[:, :d_model]


def rotated(x: Float[Tensor, "batch heads seq_len head_dim"]) -> Float[Tensor, "batch heads seq_len head_dim"]:
    """Queries or keys, each turned by its place: column i of the first half of a head with column i of the second by place / 10,000^(2i/d).

    The product of a turned query and a turned key depends on their places by the distance alone, of which no table ends. Su et al. 2021,
    RoFormer, arXiv 2104.09864, in the layout of GPT-NeoX and LLaMA.
    """
    exact = torch.float64 if x.dtype == torch.float64 else torch.float32  # shorter ones cannot tell far places apart
    cos, sin = _turns(x.shape[-2], x.shape[-1], exact, x.device)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1).to(x.dtype)


@lru_cache(32)
def _turns(seq_len: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the turns, each [seq_len, head_dim / 2]."""
    speed = SLOWEST_TURN ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    turns = torch.arange(seq_len, dtype=torch.float64)[:, None] * speed
    return turns.cos().to(device, dtype), turns.sin().to(device, dtype)
