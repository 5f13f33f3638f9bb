"""What every decoding state asks of the tokens that are added to it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from attnbench.attention import BadInput


def require_batch_size(added: Float[Tensor, "batch heads tokens width"], batch_size: int) -> None:
    """Raise BadInput when the tokens are not of as many sequences as the state."""
    if added.shape[0] != batch_size:
        raise BadInput(f"the token is of {len(added)} sequences, its state of {batch_size}; make the state with init_state({len(added)})")
