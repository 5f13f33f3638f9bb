"""Nyström attention: softmax attention through landmarks, segment means of queries and keys, linear in seq_len.

out = softmax(Q K~^T / sqrt(d)) pinv(softmax(Q~ K~^T / sqrt(d))) softmax(Q~ K^T / sqrt(d)) V

A sequence of n unpadded tokens has m = min(num_landmarks, n) segments; their sizes differ by at most one, the longer ones first. With
m = n the product is A pinv(A) A = A: softmax itself, as far as the iteration for the pseudoinverse has converged.

Xiong et al. 2021, arXiv 2102.03902; without the depthwise convolution that its code adds to the output.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnbench.attention import (
    BadInput,
    Heads,
    Matrix,
    PaddingMask,
    Shape,
    Unsupported,
    Variant,
    at_least_float32,
    hide_padding,
    token_ranks,
    unit_values,
    visible_keys,
)
from attnbench.kernels.definition import Seen, rows_by

Slots = Bool[Tensor, "batch slots"]  # which of the fixed number of landmarks a sequence uses


class Nystrom(nn.Module):
    """num_landmarks: segments of a sequence. pinv_iterations: steps towards the pseudoinverse; the paper takes 64 and 6."""

    def __init__(self, num_landmarks: object, pinv_iterations: object) -> None:
        super().__init__()
        for name, value in (("num_landmarks", num_landmarks), ("pinv_iterations", pinv_iterations)):
            if type(value) is not int or value < 1:
                raise BadInput(f"{name} is {value!r}; give a whole number of at least 1")
        self.num_landmarks: int = num_landmarks  # type: ignore[assignment]
        self.pinv_iterations: int = pinv_iterations  # type: ignore[assignment]

    def forward(self, q: Heads, k: Heads, v: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Heads:
        return self._attend(q, k, v, causal, padding_mask)

    def matrix(self, q: Heads, k: Heads, causal: bool = False, padding_mask: PaddingMask | None = None) -> Matrix:
        return self._attend(q, k, unit_values(q), causal, padding_mask)

    def _attend(self, q: Heads, k: Heads, v: Tensor, causal: bool, padding_mask: PaddingMask | None) -> Tensor:
        if causal:
            raise Unsupported("nystrom has no causal form: a landmark is a mean over tokens that follow")
        dtype, seq_len = v.dtype, q.shape[-2]
        # The pseudoinverse multiplies rounding errors; half types would be left without a digit.
        q, k, v = (at_least_float32(x) for x in hide_padding(padding_mask, q, k, v))
        slots = min(self.num_landmarks, seq_len)
        if padding_mask is None:
            used = None
            landmark_q, landmark_k = segment_means(q, slots), segment_means(k, slots)
        else:
            average, used = segment_weights(padding_mask, slots, q.dtype)
            landmark_q, landmark_k = (torch.einsum("bmn,bhnd->bhmd", average, x) for x in (q, k))
        visible = visible_keys(seq_len, False, padding_mask, q.device, never_empty=True)
        middle = landmark_kernel(landmark_q, landmark_k, used)
        context = pseudoinverse(middle, self.pinv_iterations) @ F.scaled_dot_product_attention(landmark_q, k, v, attn_mask=visible)
        out = F.scaled_dot_product_attention(q, landmark_k, context, attn_mask=None if used is None else used[:, None, None, :])
        return hide_padding(padding_mask, out.to(dtype))[0]


def segment_means(x: Float[Tensor, "*batch seq_len head_dim"], segments: int) -> Float[Tensor, "*batch segments head_dim"]:
    """The means of consecutive segments, where no token is padding."""
    size, longer = divmod(x.shape[-2], segments)
    cut = longer * (size + 1)
    first = x[..., :cut, :].unflatten(-2, (longer, size + 1)).mean(-2)
    rest = x[..., cut:, :].unflatten(-2, (segments - longer, size)).mean(-2)
    return torch.cat([first, rest], dim=-2)


def segment_weights(padding_mask: PaddingMask, slots: int, dtype: torch.dtype) -> tuple[Float[Tensor, "batch slots seq_len"], Slots]:
    """The matrix that takes the mean of each segment of unpadded tokens, and which slots have a segment: at least one has.

    Nothing is read back from the device: the number of slots is fixed, and a sequence of fewer tokens leaves slots empty.
    """
    seq_len = padding_mask.shape[-1]
    ranks = token_ranks(seq_len, padding_mask, padding_mask.device)
    count = (~padding_mask).sum(-1, keepdim=True)
    segments = count.clamp(min=1, max=slots)
    size, longer = count // segments, count % segments
    cut = longer * (size + 1)
    segment = torch.where(ranks < cut, ranks // (size + 1), longer + (ranks - cut) // size.clamp(min=1))
    slot = torch.arange(slots, device=padding_mask.device)
    member = (segment[:, None, :] == slot[:, None]) & ~padding_mask[:, None, :]
    return member.to(dtype) / member.sum(-1, keepdim=True).clamp(min=1), slot < segments


def landmark_kernel(
    landmark_q: Float[Tensor, "batch heads slots head_dim"],
    landmark_k: Float[Tensor, "batch heads slots head_dim"],
    used: Slots | None,
) -> Float[Tensor, "batch heads slots slots"]:
    """softmax(Q~ K~^T / sqrt(d)), with zero rows and columns for empty slots: they stay zero in the pseudoinverse."""
    scores = landmark_q @ landmark_k.mT / math.sqrt(landmark_q.shape[-1])
    if used is None:
        return scores.softmax(-1)
    weights = scores.masked_fill(~used[:, None, None, :], -math.inf).softmax(-1)
    return weights.masked_fill(~used[:, None, :, None], 0.0)


def pseudoinverse(a: Float[Tensor, "*batch m m"], iterations: int) -> Float[Tensor, "*batch m m"]:
    """Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4, of third order, from A^T / (||A||_1 ||A||_inf); no branch on what A holds.

    A has non-negative entries and rows that sum to one (or are zero), so ||A||_inf is 1. The norm is each matrix's own: the package of
    the paper's method takes one for the whole batch, and then sequences change each other.
    """
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    z = a.mT / a.sum(-2).amax(-1)[..., None, None]
    for _ in range(iterations):
        az = a @ z
        z = z @ (13 * identity - az @ (15 * identity - az @ (7 * identity - az))) / 4
    return z


def definition(module: nn.Module, q: Heads, k: Heads, causal: bool, padding_mask: PaddingMask | None) -> Matrix:
    """The product of the three matrices for one sequence after the other, its unpadded tokens alone: for checking."""
    assert isinstance(module, Nystrom) and not causal
    rows = []
    for row in range(len(q)):
        keep = torch.eye(q.shape[-2], dtype=q.dtype, device=q.device)  # [unpadded, seq_len]
        if padding_mask is not None:
            keep = keep[~padding_mask[row]]
        if not len(keep):
            rows.append(q.new_zeros(q.shape[1], q.shape[2], q.shape[2]))
            continue
        tokens_q, tokens_k = ((x[row] if padding_mask is None else x[row][:, ~padding_mask[row]]) for x in (q, k))
        parts = min(module.num_landmarks, len(keep))
        mean_q, mean_k = (torch.stack([s.mean(-2) for s in x.tensor_split(parts, dim=-2)], dim=-2) for x in (tokens_q, tokens_k))
        left, middle, right = (
            (a @ b.mT / math.sqrt(q.shape[-1])).softmax(-1) for a, b in ((tokens_q, mean_k), (mean_q, mean_k), (mean_q, tokens_k))
        )
        rows.append(keep.mT @ left @ pseudoinverse(middle, module.pinv_iterations) @ right @ keep)
    return torch.stack(rows)


def rows_by_definition(module: nn.Module, seen: Seen) -> Tensor:
    """The product of the three matrices and V, for one sequence after the other, its unpadded tokens alone."""
    assert isinstance(module, Nystrom)
    if seen.causal:
        raise Unsupported("nystrom has no causal form: a landmark is a mean over tokens that follow")
    out = []
    for sequence, padding in enumerate(seen.padding.expand(len(seen.q), -1)):
        q, k, v = (x[sequence][:, ~padding] for x in (seen.all_q, seen.k, seen.v))  # [heads, unpadded, head_dim]
        parts = max(1, min(module.num_landmarks, k.shape[-2]))
        mean_q, mean_k = (torch.stack([part.mean(-2) for part in x.tensor_split(parts, dim=-2)], dim=-2) for x in (q, k))
        left, middle, right = (
            (a @ b.mT / math.sqrt(q.shape[-1])).softmax(-1) for a, b in ((seen.q[sequence], mean_k), (mean_q, mean_k), (mean_q, k))
        )
        out.append(left @ (_iterated_inverse(middle, module.pinv_iterations) @ (right @ v)))
    return torch.stack(out)


def _iterated_inverse(a: Tensor, iterations: int) -> Tensor:
    """Z <- Z (13 I - 15 A Z + 7 (A Z)^2 - (A Z)^3) / 4 from A^T / (||A||_1 ||A||_inf): the iteration, multiplied out."""
    z = a.mT / (torch.linalg.matrix_norm(a, 1) * torch.linalg.matrix_norm(a, math.inf))[..., None, None]
    for _ in range(iterations):
        az = a @ z
        z = (13 * z - 15 * z @ az + 7 * z @ az @ az - z @ az @ az @ az) / 4
    return z


def build(shape: Shape, num_landmarks: object, pinv_iterations: object) -> nn.Module:
    return Nystrom(num_landmarks, pinv_iterations)


VARIANT = Variant(
    build=build,
    citation="Xiong et al. 2021, Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention, arXiv 2102.03902",
    family="linear",
    formula=(
        r"\operatorname{softmax}(Q \tilde{K}^{\top} / \sqrt{d}) \operatorname{softmax}(\tilde{Q} \tilde{K}^{\top} / \sqrt{d})^{+} "
        r"\operatorname{softmax}(\tilde{Q} K^{\top} / \sqrt{d}) V"
    ),
    causal=False,
    normalises_rows=False,  # only as far as the pseudoinverse has converged
    equivariant=False,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"num_landmarks": 64, "pinv_iterations": 6},
    reference=definition,
    reference_rows=rows_by(rows_by_definition),
)
