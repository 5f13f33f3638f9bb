"""The contract of an attention mechanism, and the few things that mechanisms share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnbench.errors import BadInput as BadInput  # re-exported: a variant imports only this module and kernels
from attnbench.errors import Unsupported as Unsupported

Heads = Float[Tensor, "batch heads seq_len head_dim"]
KVHeads = Float[Tensor, "batch kv_heads seq_len head_dim"]
Matrix = Float[Tensor, "batch heads seq_len seq_len"]
PaddingMask = Bool[Tensor, "batch seq_len"]
# Called as (module, q, k, v, rows, causal, padding_mask, hidden=None); see `Variant`.
ReferenceRows = Callable[..., Float[Tensor, "batch heads rows head_dim"]]

IMPLEMENTATIONS = ("tuned", "compiled", "reference")  # what a mechanism's code on a device may be called; see `Variant`


class Attention(Protocol):
    """What `build` returns: an `nn.Module` that is called with queries, keys and values.

    A module is checked and timed in eval mode and trained in train mode: dropout that follows `self.training`, as nn.Dropout does, is left
    out of both, and anything else random is drawn once, in `build`. What a module keeps between calls must not change what it gives. It
    may keep tables that it makes when it needs them, in a precision that serves every dtype it is called in; it is held against a module
    built anew from the file, in float64, with its parameters and persistent buffers.

    It has a form in float32, and may lack one in another dtype: it raises Unsupported there. `matrix` and a reference have one in float64.

    A module may also have `matrix(q, k, causal=, padding_mask=)`, the dense attention matrix, of every query head, and
    `init_projections(w_q, w_k, w_v, w_o)`, the mechanism's own initialisation, in place (nn.Linear layout, heads contiguous).

    Where the Variant has needs_hidden, forward, `matrix`, `prefill` and `step` are also given hidden=[batch, seq_len, d_model], by keyword.
    Where it has grouped, k and v may be [batch, kv_heads, seq_len, head_dim]: query head h reads key-value head h // (heads / kv_heads).

    A causal mechanism may decode too, one token at a time, without gradients: `init_state(batch_size)` and `step(q, k, v, state)`, see
    `Decodes`, and beside them `prefill(q, k, v)`, the state that seq_len >= 1 steps would give. Without `prefill` a prompt is processed one
    step a token.
    """

    def __call__(self, q: Heads, k: KVHeads, v: KVHeads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads: ...


@runtime_checkable
class Decodes(Protocol):
    """The decoding form of a causal mechanism: it takes one token at a time, and a state of the tokens before it.

    The state holds everything about a sequence, the module nothing; dtype and device are those of the first token. A state that was given
    to `step` stays valid: a second step from it with the same token gives the same result. It may share its buffers with the state after
    it, if its length is part of it, so that the second step writes the same slot as the first; of two different continuations of one
    state only the later has to be valid. A step should not copy a state that grows with the sequence.

    Where the Variant has needs_hidden, hidden=[batch, 1, d_model] is given to `step` and [batch, seq_len, d_model] to `prefill`.
    """

    def init_state(self, batch_size: int) -> Any:
        """The state before the first token."""

    def step(self, q: Heads, k: KVHeads, v: KVHeads, state: Any) -> tuple[Heads, Any]:
        """The output of one token and the state after it; q, k, v, out: [batch, heads, 1, head_dim]. Agrees with causal `forward`."""


@dataclass(frozen=True)
class Shape:
    """What a mechanism is built for. The optional context is None when the caller does not know it."""

    num_heads: int
    head_dim: int
    seq_len: int | None = None
    d_model: int | None = None
    layer_index: int | None = None
    num_layers: int | None = None
    num_kv_heads: int | None = None

    @property
    def kv_heads(self) -> int:
        """How many heads the keys and values have: as many as the queries, but for grouped queries."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One mechanism, declared. The summary is the first line of the module's docstring, the name its file stem.

    build:     called as build(shape, **params); returns an nn.Module that obeys `Attention`.
    citation:  authors, year, identifier.
    family:    "softmax", "orthogonal", "polynomial", "linear" or "other"; decides the colour on the site.
    formula:   the mechanism in one line, LaTeX.
    causal:    False for a mechanism without a causal form, True for one with both forms, "only" for one that is only causal. The form
               that is missing raises Unsupported: `causal=True` of the first, `causal=False` of the last. See `forms`.
    normalises_rows: whether every row of its matrix sums to one.
    equivariant: whether permuting the tokens permutes the output, when not causal.
    orthogonal: whether its matrix is orthogonal, where every parameter that `orthogonal_unless` names has its default.
    time_exponent, memory_exponent: claimed growth in seq_len, 1.0 for linear, 2.0 for quadratic; from 0.
    params:    tunable parameters with their defaults: numbers, texts, True, False, None, or lists of these, which JSON holds exactly.
               `build` is given them as a record does: numpy's numbers are Python's, and a tuple is a list.
    needs:     what it cannot run without: "cuda", "triton", or the import name of a package.
    training:  whether it has a backward pass; without one, cells that train are skipped. Where it lacks one on some device, in some
               dtype or form alone, raise Unsupported there, in forward or in backward.
    needs_hidden: whether it is also given hidden=[batch, seq_len, d_model], the tokens that q, k and v are maps of: for gates.
    grouped:   whether it takes keys and values of fewer heads than queries; without it, such a module cannot be built (Unsupported).
    reads_qk:  whether it reads queries and keys; of a control that does not, fewer bytes must have been moved in the time of a call.
    head_group: how many heads work together; num_heads must be a multiple.
    reference: float64 dense matrix by definition, called as reference(module, q, k, causal, padding_mask), with hidden= where it
               needs_hidden; where it is None the module's own `matrix` in float64 serves.
    reference_rows: some rows of the output by definition, [batch, heads, len(rows), head_dim], called as
               reference_rows(module, q, k, v, rows, causal, padding_mask, hidden=None), with rows an int64 tensor of positions, the same
               for all sequences and heads. Exact in float64, the plain form in float32; padded rows are zero; differentiable; in memory
               that grows as len(rows) x seq_len. It shares no kernel with forward. With it the output of a long cell is compared where
               it is timed; `attnbench.kernels.definition` has what is needed for it. It takes the mask and the hidden states, so that it
               also defines a mechanism that has no matrix.
    implementation: what its code is, by device, such as {"cpu": "reference", "cuda": "tuned"}; a table says it beside the time.
               "tuned": at 4,096 tokens at least three quarters of a call's time, forward and training, are spent inside kernels that were
               written or tuned for that device, whoever wrote them: fused attention, matrix products and factorisations of torch or of a
               vendor, or the mechanism's own. What stands around them does not count, so better code could not make it much faster.
               "compiled": torch.compile or another generator made the code. "reference": all else, as compositions that spend more than a
               quarter in plain operations, one kernel each. It is what is said of a device that is not named, such as one on which the
               shares were not measured. It is said in the dtypes that models use: in float64, say, a fused kernel may be lacking.
    """

    build: Callable[..., nn.Module]
    citation: str
    family: str
    formula: str
    causal: bool | Literal["only"]
    normalises_rows: bool
    time_exponent: float
    memory_exponent: float
    params: Mapping[str, object] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    equivariant: bool = False
    orthogonal: bool = False
    orthogonal_unless: tuple[str, ...] = ()
    training: bool = True
    needs_hidden: bool = False
    grouped: bool = False
    reads_qk: bool = True
    head_group: int = 1
    reference: Callable[..., Matrix] | None = None
    reference_rows: ReferenceRows | None = None
    implementation: Mapping[str, str] = field(default_factory=dict)

    @property
    def forms(self) -> tuple[bool, ...]:
        """The values of `causal` that a call may have."""
        return (True,) if self.causal == "only" else (False, True) if self.causal else (False,)


def hide_padding(padding_mask: PaddingMask | None, *tensors: Float[Tensor, "batch _ seq_len _"]) -> tuple[Tensor, ...]:
    """The tensors with padded positions set to zero, whatever was there before (NaN included)."""
    if padding_mask is None:
        return tensors
    hidden = padding_mask[:, None, :, None]
    return tuple(x.masked_fill(hidden, 0.0) for x in tensors)


def require_causal(causal: bool, name: str) -> None:
    """Raise Unsupported for the bidirectional form, which a mechanism that declares causal="only" lacks."""
    if not causal:
        raise Unsupported(f"{name} has no bidirectional form: it is only causal; call it with causal=True")


def hide_padded_tokens(padding_mask: PaddingMask | None, hidden: Float[Tensor, "batch seq_len d_model"]) -> Tensor:
    """The hidden states with padded tokens set to zero, whatever was there before (NaN included)."""
    return hidden if padding_mask is None else hidden.masked_fill(padding_mask[..., None], 0.0)


def repeat_heads(heads: int, *tensors: Float[Tensor, "batch kv_heads seq_len _"]) -> tuple[Tensor, ...]:
    """Keys and values with as many heads as queries: query head h reads key-value head h // (heads / kv_heads)."""
    return tuple(x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], 1) for x in tensors)


def fold_groups(q: Float[Tensor, "batch heads rows width"], kv_heads: int) -> Float[Tensor, "batch kv_heads group_rows width"]:
    """The queries of all heads that read one key-value head as its rows, so that a product with keys needs no copy of them.

    `x.reshape(batch, heads, rows, -1)` takes a result apart again.
    """
    return q if q.shape[1] == kv_heads else q.reshape(q.shape[0], kv_heads, -1, q.shape[-1])


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32 if it is in half precision, else as it is: long sums, norms and exponents are computed so."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Context manager: every operation keeps the dtype that it is given, in mixed-precision training too.

    There torch would round the factors of a matrix product to half precision, those in float32 as well, and fail on what has no half form.
    """
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()


def visible_keys(
    seq_len: int, causal: bool, padding_mask: PaddingMask | None, device: torch.device, never_empty: bool = False
) -> Bool[Tensor, "... seq_len"] | None:
    """True where a query may see a key, [1 or batch, 1, 1 or seq_len, seq_len]; None when every query sees every key.

    Row i sees key j unless j is padding or, when causal, j > i. With `never_empty` no query is left without a key: a softmax over
    no key is NaN, whose gradient would reach other rows. Only rows that are padded, and set to zero afterwards, gain keys by it.
    """
    visible = None
    if causal:
        visible = torch.ones(seq_len, seq_len, dtype=torch.bool, device=device).tril()[None, None]
    if padding_mask is not None:
        unpadded = ~padding_mask[:, None, None, :]
        visible = unpadded if visible is None else visible & unpadded
        if never_empty:
            # Without causality only a sequence that is all padding has empty rows, and the mask needs no row axis.
            visible = visible | (padding_mask[:, None, :, None] if causal else padding_mask.all(-1)[:, None, None, None])
    return visible


def hide_unseen(weights: Matrix, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """The matrix with zeros where a query may not see a key, and in padded rows."""
    visible = visible_keys(weights.shape[-1], causal, padding_mask, weights.device)
    if visible is None:
        return weights
    return hide_padding(padding_mask, weights.masked_fill(~visible, 0.0))[0]


def unit_values(q: Heads) -> Matrix:
    """One unit vector a token, [batch, heads, seq_len, seq_len]: attending over them gives the matrix of a mechanism linear in v."""
    return torch.eye(q.shape[-2], dtype=q.dtype, device=q.device).expand(*q.shape[:2], -1, -1)


def count_visible(seq_len: int, causal: bool, padding_mask: PaddingMask | None, device: torch.device) -> Float[Tensor, "... 1"]:
    """How many unpadded keys each query may see, at least 1, in float64: the N of scales such as 1/sqrt(N).

    Shape [1 or batch, 1, 1 or seq_len, 1]. When causal it is row i's own count up to i, so that an early output never depends on the
    length of what follows. Compute a scale from it before going to half precision, which rounds large counts.
    """
    if padding_mask is None:
        if not causal:
            return torch.full((1, 1, 1, 1), float(seq_len), dtype=torch.float64, device=device)
        return torch.arange(1, seq_len + 1, dtype=torch.float64, device=device)[None, None, :, None]
    unpadded = (~padding_mask).double()
    count = unpadded.cumsum(-1) if causal else unpadded.sum(-1, keepdim=True)
    return count.clamp(min=1.0)[:, None, :, None]


def token_ranks(seq_len: int, padding_mask: PaddingMask | None, device: torch.device) -> Int[Tensor, "... seq_len"]:
    """The position of each token among the unpadded tokens of its sequence, from 0, [1 or batch, seq_len].

    A mechanism that uses positions should use these, so that padding changes nothing, wherever it is. A padded token gets the rank of
    the unpadded one before it, or 0: in range, and without a meaning.
    """
    if padding_mask is None:
        return torch.arange(seq_len, device=device)[None]
    return ((~padding_mask).cumsum(-1) - 1).clamp(min=0)
