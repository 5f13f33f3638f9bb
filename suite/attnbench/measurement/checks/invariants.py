"""What a variant declares of its matrix: rows that sum to one, orthogonality."""

from __future__ import annotations

import torch

from attnbench.measurement.checks.finding import Finding, Worst, form, skipped
from attnbench.measurement.checks.subject import Subject, attend, own_matrix

ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-3}
SIZES = (8, 64)


def row_sums(subject: Subject) -> Finding:
    """Values that are all one come out as one, where rows are declared to sum to one."""
    if not subject.variant.normalises_rows:
        return skipped("normalises_rows is not declared")
    worst = Worst("largest distance of a row's sum from one")
    dtype = subject.finest()
    module, inputs = subject.build(dtype=dtype), {key: x.to(dtype) for key, x in subject.draw().items()}
    inputs["v"] = torch.ones_like(inputs["v"])
    for causal in subject.forms:
        for kind in ("none", "right", "left", "holes"):
            mask = subject.masks(kind, kind)
            sums = attend(module, inputs, causal, mask).detach()[:, :, ~mask[0]]
            worst.see(float((sums - 1.0).abs().max()), ROUNDING[dtype], form(causal, f"padding: {kind}"))
    return worst.finding()


def orthogonality(subject: Subject) -> Finding:
    """||A^T A - I||_F is zero but for rounding, where it is declared orthogonal; A is the output for v = I, and matrix()."""
    if not subject.variant.orthogonal:
        return skipped("orthogonal is not declared")
    usual = subject.variant.params
    for name in subject.variant.orthogonal_unless:
        if (given := subject.params.get(name, usual[name])) != usual[name]:
            return skipped(f"orthogonal is declared for {name} {usual[name]!r}, and it is {given!r}")
    dtype = subject.finest()
    worst = Worst(f"‖AᵀA - I‖_F in {str(dtype).removeprefix('torch.')}")
    for size in SIZES:
        module = subject.build(size, head_dim=size, dtype=dtype)
        inputs = {key: x.to(dtype) for key, x in subject.draw(seq_len=size, head_dim=size).items()}
        identity = torch.eye(size, dtype=dtype, device=subject.device)
        inputs["v"] = identity.expand_as(inputs["v"])
        found = {"forward": attend(module, inputs)}
        if hasattr(module, "matrix"):
            found["matrix()"] = own_matrix(module, inputs)
        for what, a in found.items():
            error = (a.mT @ a - identity).detach().flatten(-2).norm(dim=-1).max()
            worst.see(float(error), ROUNDING[dtype], f"{what}, {size} tokens")
    return worst.finding()
