"""Which kernel torch's softmax attention runs through at a cell's shape: found, held for the cell's process, and recorded.

torch chooses a kernel anew for every call: from shapes, dtype, mask and gradients, from the switches of the kernels, and from their order
of priority. That order it decides when it is first asked; on some GPUs cuDNN's kernel is then put first. So it is asked here, before the
guard notes the settings of the process. From then on the choice for a shape can change only with a switch or the order, settings that no
mechanism may change; and torch is asked again afterwards. No kernel is forbidden: a peer's call with another width, a decoding step, or the
drift anchor goes to the first kernel that takes it, as by default, and no timed call bears the cost of a switch.
"""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from attnbench.attention import Variant
from attnbench.errors import BadInput, Incorrect
from attnbench.spec.axes import Spec

NAMES = MappingProxyType(
    {
        SDPBackend.FLASH_ATTENTION: "flash",
        SDPBackend.EFFICIENT_ATTENTION: "efficient",
        SDPBackend.CUDNN_ATTENTION: "cudnn",
        SDPBackend.MATH: "math",
    }
)


def hold(spec: Spec) -> str:
    """The name of the kernel that softmax uses in a cell, for its shape, dtype, mask and mode; torch is held to it from now on.

    To be called before the guard notes the settings, and thus before the mechanism is loaded. Raises BadInput where every kernel that could
    run is switched off.
    """
    return NAMES[_chosen(*_call(spec))]


def facts(spec: Spec, kernel: str, variant: Variant) -> dict[str, object]:
    """The facts of a measured cell that say whose code ran: the kernel of softmax, as `hold` named it, and what the mechanism's code is.

    A variant declares the second of its forward and backward pass; of a decoding step nothing is said.

    Raises Incorrect when torch would use another kernel now.
    """
    now = hold(spec)
    if now != kernel:
        raise Incorrect(f"softmax attention ran through torch's {kernel} kernel before it was measured and through {now} afterwards")
    declared = {} if spec.mode == "decode" else {"implementation": variant.implementation.get(spec.device, "reference")}
    return {"softmax_backend": kernel, **declared}


def _call(spec: Spec) -> tuple[Tensor, Tensor, Tensor | None, bool]:
    """Queries, keys, mask and `is_causal` of the call that softmax makes in a cell, all of them uninitialised."""
    assert spec.seq_len is not None
    dtype, training, causal = getattr(torch, spec.dtype), spec.mode == "training", spec.causal and spec.mode != "decode"
    asking = spec.num_heads, 1 if spec.mode == "decode" else spec.seq_len
    shapes = ((spec.batch_size, *heads_and_tokens, spec.head_dim) for heads_and_tokens in (asking, (spec.kv_heads, spec.seq_len)))
    q, k = (torch.empty(shape, dtype=dtype, device=spec.device, requires_grad=training) for shape in shapes)
    if not spec.padded:
        return q, k, None, causal
    mask = torch.empty(spec.batch_size, 1, spec.seq_len if causal else 1, spec.seq_len, dtype=torch.bool, device=spec.device)
    return q, k, mask, False


def _chosen(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool) -> SDPBackend:
    """The kernel that scaled_dot_product_attention takes, by the very function that it asks; it computes nothing."""
    try:
        return SDPBackend(torch._fused_sdp_choice(q, k, k, attn_mask=mask, is_causal=causal, enable_gqa=k.shape[1] != q.shape[1]))
    except RuntimeError as error:
        shape = f"softmax attention of {list(q.shape)} in {q.dtype} on {q.device}"
        raise BadInput(f"torch has no kernel switched on for {shape}; call torch.backends.cuda.enable_math_sdp(True)") from error
