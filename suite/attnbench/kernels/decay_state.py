"""The state of a decaying sum over the tokens so far, S_i = e^{g_i} S_{i-1} + k_i v_i^T, of a size that never changes: for decoding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.attention import at_least_float32
from attnbench.kernels.count import count_flops
from attnbench.kernels.state_batch import require_batch_size


@dataclass(frozen=True)
class DecayState:
    """The sum over the tokens so far of `batch_size` sequences, in float32 or wider; None before the first token."""

    batch_size: int
    total: Float[Tensor, "batch heads key_dim value_dim"] | None = None

    def add(
        self,
        k: Float[Tensor, "batch heads tokens key_dim"],
        v: Float[Tensor, "batch heads tokens value_dim"],
        log_decay: Float[Tensor, "#batch heads #tokens #key_dim"],
    ) -> DecayState:
        """The state with one token more, or with many, each of which decays with the tokens after it. Nothing is written in place.

        log_decay: as in decay_sums.py; one token only means the same at every token. Raises BadInput when there are not batch_size
        sequences.
        """
        require_batch_size(v, self.batch_size)
        k, v = at_least_float32(k), at_least_float32(v)
        from_token = log_decay.double().expand(-1, -1, k.shape[2], -1).flip(2).cumsum(2).flip(2)  # from each token on, itself included
        if k.shape[2] > 1:
            after = torch.cat([from_token[:, :, 1:], torch.zeros_like(from_token[:, :, :1])], 2)
            k = k * after.exp().to(k.dtype)
        if self.total is None:
            return DecayState(self.batch_size, k.mT @ v)
        before = self.total * from_token[:, :, :1].exp().to(k.dtype).mT
        if k.shape[2] > 1:
            return DecayState(self.batch_size, before + k.mT @ v)
        total = torch.addcmul(before, k.mT, v)
        count_flops(2 * total.numel())  # torch's counter takes it for elementwise work
        return DecayState(self.batch_size, total)

    def read(self, q: Float[Tensor, "batch heads 1 key_dim"]) -> Float[Tensor, "batch heads 1 value_dim"]:
        """q S of the token that was added last, in float32 or wider."""
        assert self.total is not None, "a token sees itself, so add comes first"
        return at_least_float32(q) @ self.total
