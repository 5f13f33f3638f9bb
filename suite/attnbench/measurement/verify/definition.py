"""The definition of a mechanism's output: some of its rows, computed apart from the mechanism's forward pass."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.attention import Heads, PaddingMask, Variant, hide_padding, repeat_heads
from attnbench.store import hardware

# Of a dense float64 matrix that serves where a mechanism has no reference_rows. Where gradients are compared, of which autograd keeps
# several as large: four heads of 2,048 tokens. Else this share of the memory, for a softmax holds three at once; an exponential is cubic.
DENSE_BYTES, DENSE_SHARE, DENSE_MOST, ORTHOGONAL_SEQ_LEN = 2**27, 0.25, 2**32, 256
ROWS = 64  # of the output, that are compared where not all are
BLOCK_NUMBERS = {"cpu": 2**23, "cuda": 2**26}  # of [heads, rows, seq_len], for which rows are computed at once

_draw = random.SystemRandom()  # nobody knows beforehand which rows are compared


def undefined(variant: Variant, module: nn.Module, heads: int, seq_len: int, dense_bytes: int = DENSE_BYTES) -> str | None:
    """Why there are no rows to compare with; None where there are. dense_bytes: what a dense float64 matrix may take."""
    if variant.reference_rows is not None:
        return None
    lacks = "the variant declares no reference_rows"
    if variant.reference is None and not hasattr(module, "matrix"):
        return f"{lacks}, no reference, and its module has no matrix"
    size = 8 * heads * seq_len**2
    if size > dense_bytes:
        return f"{lacks}, and its dense float64 matrix would take {size / 2**20:,.0f} MiB; {dense_bytes / 2**20:,.0f} are allowed"
    if variant.orthogonal and seq_len > ORTHOGONAL_SEQ_LEN:
        return f"{lacks}, and a dense orthogonal matrix, cubic in seq_len, is computed up to {ORTHOGONAL_SEQ_LEN} tokens"
    return None


def forward_dense_bytes(device: torch.device) -> int:
    """What a dense float64 matrix may take where only outputs are compared."""
    memory = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else hardware.memory_bytes()
    return DENSE_BYTES if memory is None else min(DENSE_MOST, max(DENSE_BYTES, int(DENSE_SHARE * memory)))


def definition_rows(
    variant: Variant,
    module: Any,
    inputs: Sequence[Tensor],
    rows: Tensor,
    causal: bool,
    padding_mask: PaddingMask | None = None,
) -> Heads:
    """Rows of the output by definition, [batch, heads, len(rows), head_dim], in the dtype of the inputs q, k, v and, if needed, hidden.

    They come from the variant's reference_rows; without it from its dense matrix, which must be affordable: see `undefined`.
    """
    q, k, v, *hidden = inputs
    context = {"hidden": hidden[0]} if hidden else {}
    if variant.reference_rows is not None:
        out: Tensor = variant.reference_rows(module, q, k, v, rows, causal, padding_mask, **context)
        return out
    if variant.reference is not None:
        matrix = variant.reference(module, q, k, causal, padding_mask, **context)
    else:
        masked = {} if padding_mask is None else {"padding_mask": padding_mask}  # a module of one's own may take none
        matrix = module.matrix(q, k, causal=causal, **masked, **context)
    matrix = matrix[..., rows, :]  # without gradients the rest is freed here
    mask = None if padding_mask is None else padding_mask[:, rows]
    (v,) = repeat_heads(q.shape[1], *hide_padding(padding_mask, v))  # a matrix is of every query head
    return hide_padding(mask, matrix @ v)[0]


def in_blocks(variant: Variant, rows: Tensor, heads: int, seq_len: int) -> Sequence[Tensor]:
    """The rows in parts that are computed at once, for memory grows with their number; in one where a dense matrix gives all of them."""
    if variant.reference_rows is None:
        return [rows]
    return rows.split(max(1, BLOCK_NUMBERS[rows.device.type] // (heads * seq_len)))


def random_rows(positions: list[int]) -> list[int]:
    """64 of some positions, in order; all where there are no more."""
    return sorted(_draw.sample(positions, ROWS)) if len(positions) > ROWS else positions
