"""Normalised kernel attention of one token: all keys and values seen so far are one sum, phi(K)^T [V, 1], of a size that never changes.

out = phi(q) . sum_j e^{s_j} phi(k_j) v_j^T / phi(q) . sum_j e^{s_j} phi(k_j), as in linear.py. The sums are relative to the largest s_j
so far, which cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.attention import at_least_float32
from attnbench.kernels.count import count_flops
from attnbench.kernels.linear import Features, LogScale, Values, divide
from attnbench.kernels.state_batch import require_batch_size


@dataclass(frozen=True)
class RunningSums:
    """The sums over the first `length` tokens of `batch_size` sequences, in float32 or wider; None before the first token.

    total:   [batch, heads, features, value_dim + 1], the last column the sum of the features alone.
    largest: [batch, heads, 1], the largest s_j, which has been taken off; None where there are no s_j.
    """

    batch_size: int
    length: int = 0
    total: Float[Tensor, "batch heads features columns"] | None = None
    largest: Float[Tensor, "batch heads 1"] | None = None

    def add(self, phi_k: Features, v: Values, log_scale: LogScale | None = None) -> RunningSums:
        """The sums with one token more or, where there was none, with all tokens of a sequence. Nothing is written in place.

        Raises BadInput when there are not batch_size sequences.
        """
        require_batch_size(v, self.batch_size)
        v = at_least_float32(v)
        values = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        before, largest = self.total, None
        if log_scale is not None:
            largest = log_scale.amax(-1, keepdim=True)
            if before is not None and self.largest is not None:
                largest = torch.maximum(largest, self.largest)
                before = before * (self.largest - largest).exp()[..., None]
            values = values * (log_scale - largest).exp()[..., None]
        if before is None:
            total = phi_k.mT @ values
        else:  # one pass over the sums: measured, half the time of the product and the addition apart
            total = torch.addcmul(before, phi_k.mT, values)
            count_flops(2 * total.numel())  # torch's counter takes it for elementwise work
        return RunningSums(self.batch_size, self.length + v.shape[-2], total, largest)

    def attend(self, phi_q: Float[Tensor, "batch heads 1 features"], dtype: torch.dtype) -> Float[Tensor, "batch heads 1 value_dim"]:
        """The output of the token that was added last. Zero where no weight is seen."""
        assert self.total is not None, "a token sees itself, so add comes first"
        sums = phi_q @ self.total
        return divide(sums[..., :-1], sums[..., -1:]).to(dtype)
