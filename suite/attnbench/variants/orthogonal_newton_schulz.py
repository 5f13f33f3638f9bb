"""Orthogonal self-attention with an orthonormal basis of [Q, K] by Newton-Schulz iteration, the paper's form for accelerators.

S = (alpha / sqrt(d)) (Q K^T - K Q^T), A = exp(S) = I + B (exp(B^T S B) - I) B^T, out = A V. B is the limit of

    M <- M (3 I - M^T M) / 2,    M = [Q, K] / ||[Q, K]||_F at the start,

which takes every singular value of M to one, except those that are zero, which stay zero: B is then a partial isometry onto the span of
[Q, K], which is enough (kernels/basis.py). A small singular value grows by 3/2 a step, so that one which is still below one after the
last step was below rounding at the start, and its error is of that size.

Zhang and Martens 2026, arXiv 2602.05996; Bjorck and Bowie 1971 for the iteration.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnbench.attention import Variant
from attnbench.kernels.basis import rotate_by
from attnbench.kernels.skew import damped, exponential, skew_builder
from attnbench.kernels.skew_rows import exponential_quotient, skew_rows


def polar_factor(u: Tensor) -> Tensor:
    """U (U^T U)^(-1/2), the inverse being that on the span of U; shape of u.

    On the CPU the iteration ends when no matrix moves by more than rounding. On other devices, where asking would make the
    processor wait, it always takes the most steps: 40 in float32, 89 in float64.
    """
    norm = torch.linalg.matrix_norm(u, keepdim=True)
    m = (u / norm.masked_fill(norm == 0.0, 1.0)).flatten(0, -3)
    rounding = torch.finfo(u.dtype).eps
    for _ in range(math.ceil(math.log(1 / rounding, 1.5))):
        # The smaller of the two Gram matrices; M (M^T M) = (M M^T) M.
        wide = m.shape[-2] < m.shape[-1]
        product = torch.bmm(m, m.mT) if wide else torch.bmm(m.mT, m)
        before, m = m, torch.baddbmm(m, product, m, beta=1.5, alpha=-0.5) if wide else torch.baddbmm(m, m, product, beta=1.5, alpha=-0.5)
        if u.device.type == "cpu" and not (torch.linalg.matrix_norm(m - before) > 10 * rounding * math.sqrt(m.shape[-1])).any():
            break
    return m.view_as(u)


VARIANT = Variant(
    build=skew_builder("orthogonal_newton_schulz", damped(rotate_by(polar_factor))),
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    family="orthogonal",
    formula=r"\operatorname{exp}(\alpha(Q K^{\top} - K Q^{\top}) / \sqrt{d}) V\text{ by Newton–Schulz}",
    causal=False,
    normalises_rows=False,
    equivariant=True,
    orthogonal=True,
    orthogonal_unless=("damping",),
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"alpha": None, "damping": 0.0},
    reference=exponential,
    reference_rows=skew_rows("orthogonal_newton_schulz", exponential_quotient),
)
