"""Rows of an attention's output by definition: what the output of a long call is compared with, some rows at a time.

They are written from the formula with plain operations of torch, apart from every kernel that a forward pass calls, and are differentiated
by autograd. Memory grows as rows x seq_len, never as seq_len squared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnbench.attention import Heads, KVHeads, PaddingMask, ReferenceRows, repeat_heads

Rows = Int[Tensor, "rows"]
Weights = Float[Tensor, "batch heads rows seq_len"]


@dataclass(frozen=True)
class Seen:
    """Some rows and what they see. Queries, keys and values are zero at padding, whatever stood there.

    all_q, k, v: of every token and query head; the keys and values of grouped queries are repeated. rows: positions, the same for all
    sequences and heads. padding: True where a token is padding.
    """

    all_q: Heads
    k: Heads
    v: Heads
    rows: Rows
    causal: bool
    padding: Bool[Tensor, "#batch seq_len"]

    @property
    def q(self) -> Float[Tensor, "batch heads rows head_dim"]:
        """The queries of the rows."""
        return self.all_q[..., self.rows, :]

    @cached_property
    def visible(self) -> Bool[Tensor, "#batch 1 rows seq_len"]:
        """True for a key that counts: it is not padding and, when causal, not after the row. Only a padded row may see no key."""
        tokens = torch.arange(self.k.shape[-2], device=self.k.device)
        last = self.rows if self.causal else torch.full_like(self.rows, len(tokens))
        return ~self.padding[:, None, None, :] & (tokens <= last[:, None])

    def scores(self) -> Weights:
        """q . k / sqrt(d)."""
        return self.q @ self.k.mT / math.sqrt(self.q.shape[-1])

    def count(self) -> Float[Tensor, "#batch 1 rows 1"]:
        """N of scales such as 1/sqrt(N): how many keys a row sees, at least 1; float64."""
        return self.visible.sum(-1, keepdim=True).clamp(min=1).double()

    def identity(self) -> Float[Tensor, "rows seq_len"]:
        """The rows of the identity matrix."""
        return (self.rows[:, None] == torch.arange(self.k.shape[-2], device=self.k.device)).to(self.q.dtype)

    def only_visible(self, weights: Weights) -> Weights:
        """The weights, and zero for the keys that a row does not see."""
        return weights.masked_fill(~self.visible, 0.0)

    def softmax(self, scores: Weights) -> Weights:
        """e^s / sum e^s over the keys that a row sees. A padded row that sees none takes all, for NaN would reach other gradients."""
        visible = self.visible | ~self.visible.any(-1, keepdim=True)
        return scores.masked_fill(~visible, -math.inf).softmax(-1)

    def normalised(self, weights: Weights) -> Weights:
        """w / sum w over the keys that a row sees; a row without weight is zero."""
        weights = self.only_visible(weights)
        total = weights.sum(-1, keepdim=True)
        return weights / total.masked_fill(total == 0.0, math.inf)

    def without_padding(self, out: Float[Tensor, "batch heads rows width"]) -> Float[Tensor, "batch heads rows width"]:
        """The output, with the rows that are padding set to zero."""
        return out.masked_fill(self.padding[:, None, self.rows, None], 0.0)


def see(q: Heads, k: KVHeads, v: KVHeads, rows: Rows, causal: bool, padding_mask: PaddingMask | None) -> Seen:
    """The given rows and what they see, from what `reference_rows` is called with."""
    padding = torch.zeros(1, q.shape[-2], dtype=torch.bool, device=q.device) if padding_mask is None else padding_mask
    q, k, v = (x.masked_fill(padding[:, None, :, None], 0.0) for x in (q, *repeat_heads(q.shape[1], k, v)))
    return Seen(q, k, v, rows, causal, padding)


def rows_by(output: Callable[[nn.Module, Seen], Tensor]) -> ReferenceRows:
    """A Variant's `reference_rows` from a function that gives the output of some rows from what they see."""

    def reference_rows(
        module: nn.Module,
        q: Heads,
        k: KVHeads,
        v: KVHeads,
        rows: Rows,
        causal: bool,
        padding_mask: PaddingMask | None,
        hidden: Float[Tensor, "batch seq_len d_model"] | None = None,
    ) -> Float[Tensor, "batch heads rows head_dim"]:
        seen = see(q, k, v, rows, causal, padding_mask)
        return seen.without_padding(output(module, seen))

    return reference_rows


def rows_of_matrix(weights: Callable[[nn.Module, Seen], Weights]) -> ReferenceRows:
    """The same, for a mechanism with a matrix, from a function that gives some of the matrix's rows."""
    return rows_by(lambda module, seen: weights(module, seen) @ seen.v)


def per_head(module: nn.Module, name: str, like: Tensor) -> Float[Tensor, "heads 1 1"]:
    """A parameter [num_heads] in the dtype of another tensor, to multiply the rows of each head."""
    return module.get_parameter(name).to(like.dtype)[:, None, None]
