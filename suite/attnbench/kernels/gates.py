"""Gates that a mechanism computes from the hidden states of tokens: the linear map of these, and how its parameters start."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from attnbench.attention import PaddingMask, Shape, at_least_float32, hide_padded_tokens, without_autocast

Hidden = Float[Tensor, "batch seq_len d_model"]
Gates = Float[Tensor, "batch heads seq_len"]
Bias = Float[Tensor, "outputs"]

STEPS = (0.001, 0.1)  # the range of softplus(b) at the start


def gate_inputs(hidden: Hidden, padding_mask: PaddingMask | None) -> Hidden:
    """The hidden states in float32 or wider, zero at padding."""
    return at_least_float32(hide_padded_tokens(padding_mask, hidden))


def gate_map(
    x: Float[Tensor, "batch seq_len inputs"], weight: Float[Tensor, "outputs inputs"], bias: Bias | None = None
) -> Float[Tensor, "batch seq_len outputs"]:
    """W x + b of every token in the dtype of x, in mixed-precision training too."""
    with without_autocast(x.device):
        return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x); torch's own threshold of 20, from which it gives x, is seen in float64."""
    return F.softplus(x, threshold=40.0)


def width_of(shape: Shape) -> int:
    """d_model; where it is not known, that of heads side by side."""
    return shape.d_model or shape.num_heads * shape.head_dim


def linear_start(*shape: int) -> Tensor:
    """Weights [..., inputs] as torch starts a linear layer: uniform up to 1 / sqrt(inputs) in size."""
    bound = shape[-1] ** -0.5
    return torch.empty(shape).uniform_(-bound, bound)


def step_start(num_heads: int) -> Bias:
    """b of each head such that softplus(b) is log-uniform in STEPS: the start of Mamba's time steps."""
    shortest, longest = (math.log(step) for step in STEPS)
    step = (shortest + (longest - shortest) * torch.rand(num_heads)).exp()
    return step + (-torch.expm1(-step)).log()
