"""The delta rule of one token: all tokens so far are one matrix for each head, of a size that never changes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from attnbench.kernels.count import count_flops
from attnbench.kernels.delta_rule import Rows, State, Unit, Values, delta_rule_state
from attnbench.kernels.gates import Gates
from attnbench.kernels.state_batch import require_batch_size


@dataclass(frozen=True)
class DeltaState:
    """The state after the tokens so far of `batch_size` sequences, in float32 or wider; None before the first. See `delta_rule`."""

    batch_size: int
    h: State | None = None

    def add(self, k: Rows, v: Values, beta: Gates, log_decay: Gates | None = None) -> DeltaState:
        """The state with one token more or, where there was none, with all tokens of a sequence. Nothing is written in place.

        beta and log_decay come in float32 or wider. Raises BadInput when there are not batch_size sequences.
        """
        require_batch_size(v, self.batch_size)
        if self.h is None:
            return DeltaState(self.batch_size, delta_rule_state(k, v, beta, log_decay))
        h = self.h if log_decay is None else self.h * log_decay[..., None].exp()
        k = Unit(k.to(h.dtype)).rows
        u = beta[..., None] * (v.to(h.dtype) - k @ h)
        count_flops(2 * h.numel())  # of a column times a row, which torch's counter takes for elementwise work
        return DeltaState(self.batch_size, torch.addcmul(h, k.mT, u))

    def read(self, q: Float[Tensor, "batch heads 1 head_dim"], dtype: torch.dtype) -> Float[Tensor, "batch heads 1 value_dim"]:
        """The output of the token that was added last."""
        assert self.h is not None, "a token reads what it has written, so add comes first"
        return (Unit(q.to(self.h.dtype)).rows @ self.h * q.shape[-1] ** -0.5).to(dtype)
