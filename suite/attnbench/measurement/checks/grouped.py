"""Whether grouped queries give what the same queries give of keys and values that are repeated for each head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnbench.attention import Decodes, PaddingMask, repeat_heads
from attnbench.measurement.checks.agreement import ALL_MASKS
from attnbench.measurement.checks.finding import Finding, Worst, failed, form, skipped
from attnbench.measurement.checks.rows import GRADIENT_ROUNDING
from attnbench.measurement.checks.subject import (
    BATCH,
    ROUNDING,
    SEQ_LEN,
    Inputs,
    Subject,
    attend,
    cast,
    flat,
    gradients,
    own_matrix,
    relative_error,
    select,
)
from attnbench.measurement.prefill import prefilled

QUERY_GROUPS, KV_GROUPS = 6, 2  # three query heads to a key-value head
PREFILLED = 4


def grouped(subject: Subject) -> Finding:
    """Forward, its gradients, matrix(), reference_rows and decoding with fewer key-value heads agree with repeated keys and values."""
    if not subject.variant.grouped:
        return skipped("it takes as many key-value heads as heads")
    dtype = subject.finest()
    one, other = (subject.build(groups=QUERY_GROUPS, kv_groups=kv, dtype=dtype) for kv in (KV_GROUPS, None))
    shapes = [{key: x.shape for key, x in module.state_dict().items()} for module in (one, other)]
    if shapes[0] != shapes[1]:
        return failed("its parameters and buffers have other shapes with fewer key-value heads; give each query head its own")
    worst = Worst("relative difference of grouped queries and repeated keys and values")
    for causal in subject.forms:
        for mask in (None, subject.masks(*ALL_MASKS)):
            _compare(worst, subject, (one, other), _draw(subject, BATCH if mask is None else len(mask), dtype), causal, mask)
    if subject.variant.causal and isinstance(one, Decodes):
        _compare_decoding(worst, one, _draw(subject, BATCH, dtype))
    return worst.finding()


def _draw(subject: Subject, batch: int, dtype: torch.dtype) -> Inputs:
    """Inputs with fewer key-value heads."""
    inputs, kv_heads = subject.draw(batch, groups=QUERY_GROUPS), KV_GROUPS * subject.variant.head_group
    return {key: (x[:, :kv_heads] if key in "kv" else x).to(dtype) for key, x in inputs.items()}


def _repeated(inputs: Inputs) -> Inputs:
    """The inputs with the keys and values of each query head."""
    k, v = repeat_heads(inputs["q"].shape[1], inputs["k"], inputs["v"])
    return {**inputs, "k": k, "v": v}


def _compare(
    worst: Worst, subject: Subject, modules: tuple[nn.Module, nn.Module], drawn: Inputs, causal: bool, mask: PaddingMask | None
) -> None:
    """Add the errors of one form to `worst`. modules: with fewer key-value heads, and with as many as heads."""
    dtype, padded = drawn["q"].dtype, [] if mask is None else ["padded"]
    allowed, with_gradients = ROUNDING[dtype], subject.gradient_trouble(causal) is None
    one, other = (cast(drawn, dtype, with_gradients) for _ in modules)
    out, wanted = attend(modules[0], one, causal, mask), attend(modules[1], _repeated(other), causal, mask)
    worst.see(relative_error(out, wanted), allowed, form(causal, *padded))
    if with_gradients:
        found, right = flat(gradients(out, modules[0], one)), flat(gradients(wanted, modules[1], other))
        worst.see(relative_error(found, right), max(GRADIENT_ROUNDING, allowed), form(causal, "gradients", *padded))
    if hasattr(modules[0], "matrix"):
        matrices = [own_matrix(module, inputs, causal, mask) for module, inputs in zip(modules, (drawn, _repeated(drawn)), strict=True)]
        worst.see(relative_error(*matrices), allowed, form(causal, "matrix()", *padded))
    if subject.variant.reference_rows is not None:
        rows = subject.all_rows(modules[0], drawn, causal, mask)
        worst.see(relative_error(rows, wanted), allowed, form(causal, "reference_rows", *padded))


def _compare_decoding(worst: Worst, module: Any, inputs: Inputs) -> None:
    """Add the errors of steps from the first token, and from a prefilled state, to `worst`."""
    with torch.no_grad():
        wanted = attend(module, inputs, causal=True)
        for start in (0, PREFILLED):
            state: Any = prefilled(module, **select(inputs, slice(None), slice(start))) if start else module.init_state(BATCH)
            outs: list[Tensor] = []
            for token in range(start, SEQ_LEN):
                out, state = module.step(**select(inputs, slice(None), slice(token, token + 1)), state=state)
                outs.append(out)
            found, allowed = torch.cat(outs, 2), ROUNDING[inputs["q"].dtype]
            worst.see(relative_error(found, wanted[:, :, start:]), allowed, f"decoding from {start} tokens")
