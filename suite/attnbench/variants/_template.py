"""My attention: softmax by its explicit matrix, to be replaced by your idea.

A_ij = exp(s_ij) / sum_k exp(s_ik), s = Q K^T / sqrt(d), out = A V.

Author year, title, arXiv number.
"""

from __future__ import annotations

import math

from torch import nn

from attnbench.attention import Heads, Matrix, PaddingMask, Variant, hide_padding, visible_keys


class MyAttention(nn.Module):
    """q, k, v and the result: [batch, heads, seq_len, head_dim]. padding_mask: [batch, seq_len], True = padding."""

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        (v,) = hide_padding(padding_mask, v)  # padding may hold anything, NaN included
        return self.matrix(q, k, causal, padding_mask) @ v  # rows at padding come out as zero

    # It may decode too, token by token: init_state(batch_size), step(q, k, v, state) and prefill(q, k, v), see attnbench.attention.Decodes.

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        """The attention matrix. It may be left out; where it is there, forward is held against it."""
        q, k = hide_padding(padding_mask, q, k)
        # Your idea goes here: anything may take the place of these scores and of their softmax. Then mend VARIANT below.
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        # Without a causal form: `if causal: raise Unsupported("... has no causal form, because ...")`, and causal=False in VARIANT;
        # with that form alone, `require_causal(causal, "my_attention")` and causal="only".
        visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)
        if visible is not None:
            scores = scores.masked_fill(~visible, -math.inf)
        return hide_padding(padding_mask, scores.softmax(-1))[0]


VARIANT = Variant(
    build=lambda shape: MyAttention(),  # shape.num_heads, shape.head_dim; for learned parameters, see params
    citation="Author year, title, arXiv number",
    family="other",  # softmax, orthogonal, polynomial, linear or other: its colour
    formula=r"\operatorname{softmax}(Q K^{\top} / \sqrt{d}) V",  # LaTeX, in one line
    causal=True,
    normalises_rows=True,  # every row of the matrix sums to one
    equivariant=True,  # permuting the tokens permutes the output
    time_exponent=2.0,  # claimed growth with seq_len, which the check measures
    memory_exponent=2.0,
    # reference_rows= takes some rows of the output by definition, see attnbench.kernels.definition and the other variants. With it the
    # output of a long cell is compared row by row, where it is timed; without it only as far as the matrix can be afforded.
    # needs_hidden=True also gives hidden=[batch, seq_len, d_model], for gates; grouped=True says that k and v may have fewer heads than q.
    # Without a backward pass: training=False. Dropout must follow self.training: what is checked and timed is eval mode.
    params={},  # names and defaults of what `build` takes beside the shape
)
