"""The decoding state that a prompt leaves."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from attnbench.attention import Decodes, Heads, KVHeads, Unsupported


def prefilled(module: nn.Module, q: Heads, k: KVHeads, v: KVHeads, hidden: Float[Tensor, "batch seq_len d_model"] | None = None) -> Any:
    """The decoding state after these tokens: by the module's `prefill`, else one step a token. seq_len 0 gives the initial state.

    hidden: for a Variant with needs_hidden. Raises Unsupported when the module has no decode form.
    """
    if not isinstance(module, Decodes):
        lacks = f"{type(module).__name__} has no init_state(batch_size) and step(q, k, v, state)"
        raise Unsupported(f"the mechanism has no decode form: {lacks}")
    context = {} if hidden is None else {"hidden": hidden}
    prefill = getattr(module, "prefill", None)
    if prefill is not None and q.shape[-2] > 0:
        return prefill(q, k, v, **context)
    state: Any = module.init_state(q.shape[0])
    step: Any = module.step
    for token in range(q.shape[-2]):
        at = slice(token, token + 1)
        _, state = step(q[:, :, at], k[:, :, at], v[:, :, at], state, **{key: x[:, at] for key, x in context.items()})
    return state
