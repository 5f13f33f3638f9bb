"""Scalar decays of a state inside chunks, as exponentials of differences that are not positive, and their gradient."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

PerToken = Float[Tensor, "chunks rows size"]
Pairs = Float[Tensor, "chunks rows size size"]
Chunks = Float[Tensor, "chunks rows size width"]
State = Float[Tensor, "rows head_dim value_dim"]


class ChunkDecay:
    """e^{G_i - G_j} and the like, G_i the sum of log_decay from the start of a chunk through token i. log_decay None is 0 throughout.

    The sums are in float64: the difference of two large ones may be small, and float32 would leave it few digits.
    """

    def __init__(self, log_decay: PerToken | None) -> None:
        self.is_none = log_decay is None
        if log_decay is None:
            return
        total = log_decay.double().cumsum(-1)
        self._between = (total[..., :, None] - total[..., None, :]).tril().to(log_decay.dtype).exp()
        self._since = total[..., None].to(log_decay.dtype).exp()
        self._until = (total[..., -1:] - total)[..., None].to(log_decay.dtype).exp()

    def between(self, x: Pairs) -> Pairs:
        """x_ij times the decay after token j through token i; x is zero above the diagonal."""
        return x if self.is_none else x * self._between

    def since_start(self, x: Chunks) -> Chunks:
        """Each row times the decay from the start of the chunk through its token."""
        return x if self.is_none else x * self._since

    def until_end(self, x: Chunks) -> Chunks:
        """Each row times the decay after its token to the end of the chunk."""
        return x if self.is_none else x * self._until

    def over_chunk(self, chunk: int, state: State) -> State:
        """A state times the decay over the whole of a chunk."""
        return state if self.is_none else state * self._since[chunk, :, -1:]

    def gradient(self, between: Pairs, since: PerToken, until: PerToken, over: Float[Tensor, "chunks rows"]) -> PerToken:
        """The gradient by log_decay; each argument is the gradient by decays of one kind times these decays (`over` without that)."""
        found = crossing(between)
        found += since.flip(-1).cumsum(-1).flip(-1)
        found[..., 1:] += until.cumsum(-1)[..., :-1]
        return found.add_((over * self._since[..., -1, 0])[..., None])


def crossing(pairs: Float[Tensor, "*chunks size size"]) -> Float[Tensor, "*chunks size"]:
    """For each token the sum over the pairs of a key before it and a row from it on: those whose decay has its log_decay.

    Such pairs alone: the difference of sums by row and by key would have the rounding of pairs that do not decay at all.
    """
    ones = torch.ones(pairs.shape[-2:], dtype=pairs.dtype, device=pairs.device)
    return (pairs @ ones.triu(1)).tril_().sum(-2)
