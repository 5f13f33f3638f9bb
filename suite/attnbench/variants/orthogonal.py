"""Orthogonal self-attention (OSA): the exponential of a skew-symmetric matrix, exact and linear in seq_len.

S = (alpha / sqrt(d)) (Q K^T - K Q^T), A = exp(S) in SO(N), out = A V. With U = [Q, K], J = [[0, I], [-I, 0]], c = alpha / sqrt(d) and
G = U^T U, the matrix is S = c U J U^T, and

    exp(S) V = V + U phi1(c J G) (c J U^T V),    phi1(M) = sum_k M^k / (k+1)!

where phi1 is taken of a 2d x 2d matrix: no seq_len x seq_len matrix, no QR, no condition on the rank of U. `damping` multiplies A by
e^-(damping / num_layers), and is 0 unless given (kernels/skew.py).

Zhang and Martens 2026, arXiv 2602.05996; initialisation (joint orthonormal W_Q and W_K, orthogonal W_V and W_O) as reported there.
"""

from __future__ import annotations

from attnbench.attention import Variant
from attnbench.kernels.rotation import rotate
from attnbench.kernels.skew import damped, exponential, skew_builder
from attnbench.kernels.skew_rows import exponential_quotient, skew_rows

VARIANT = Variant(
    build=skew_builder("orthogonal", damped(rotate)),
    citation="Zhang and Martens 2026, Orthogonal Self-Attention, arXiv 2602.05996",
    family="orthogonal",
    formula=r"\operatorname{exp}(\alpha(Q K^{\top} - K Q^{\top}) / \sqrt{d}) V",
    causal=False,
    normalises_rows=False,
    equivariant=True,
    orthogonal=True,
    orthogonal_unless=("damping",),
    grouped=True,
    time_exponent=1.0,
    memory_exponent=1.0,
    params={"alpha": None, "damping": 0.0},
    reference=exponential,
    reference_rows=skew_rows("orthogonal", exponential_quotient),
)
