"""States of a decaying sum at the starts of chunks: each is the one before, decayed, and what its chunk adds.

S_{c+1} = kept_c * S_c + added_c; kept_c is one factor for the whole state or one for each of its rows. One step a chunk, written
into the result: on the CPU half the time of a cumulative sum, which strides over whole states.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

States = Float[Tensor, "batch heads chunks key_dim value_dim"]
Kept = Float[Tensor, "#batch heads #chunks #key_dim 1"]
State = Float[Tensor, "batch heads key_dim value_dim"]


def states_before(added: States, kept: Kept, first: State) -> tuple[States, State]:
    """The state before each chunk, and the one after the last."""
    before = torch.empty_like(added)
    kept = kept.expand(*kept.shape[:2], added.shape[2], *kept.shape[3:])
    before[:, :, 0] = first
    for chunk in range(added.shape[2] - 1):
        torch.addcmul(added[:, :, chunk], before[:, :, chunk], kept[:, :, chunk], out=before[:, :, chunk + 1])
    return before, torch.addcmul(added[:, :, -1], before[:, :, -1], kept[:, :, -1])


def states_before_backward(d_before: States, d_last: State, kept: Kept) -> tuple[States, State]:
    """The gradients by `added` and by `first`. That by kept_c is the gradient by added_c times S_c, summed over what it multiplies."""
    d_added = torch.empty_like(d_before)
    kept = kept.expand(*kept.shape[:2], d_before.shape[2], *kept.shape[3:])
    d_added[:, :, -1] = d_last
    for chunk in range(d_before.shape[2] - 1, 0, -1):
        torch.addcmul(d_before[:, :, chunk], d_added[:, :, chunk], kept[:, :, chunk], out=d_added[:, :, chunk - 1])
    return d_added, torch.addcmul(d_before[:, :, 0], d_added[:, :, 0], kept[:, :, 0])
