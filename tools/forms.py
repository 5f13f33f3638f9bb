"""Polynomial attention by tiles and by symmetric features: both times around their crossing, and what the cost model chooses.

make forms      # the constants of attnbench/kernels/polynomial.py come from this table
"""

from __future__ import annotations

import argparse
from typing import Any

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
SHAPES = ((8, 2), (8, 3), (16, 2), (16, 3), (32, 1), (32, 2), (64, 2))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n", 1)[0]).parse_args()
    from floors import Bench

    print(f"{'d':>3} {'p':>2} {'seq_len':>8} {'causal':>7} {'mode':>9}  tiles / features   chosen    time over the best")
    worst = 1.0
    for head_dim, degree in SHAPES:
        for seq_len in LENGTHS:
            bench = Bench(seq_len, head_dim)
            for causal in (False, True):
                for mode in ("forward", "training"):
                    worst = max(worst, _line(bench, degree, causal, mode))
    print(f"the chosen form took at most {worst:.2f} times the time of the better one")


def _line(bench: Any, degree: int, causal: bool, mode: str) -> float:
    """Print one comparison where the two are within a factor of six; the time of the chosen form over the better one's."""
    import torch

    from attnbench.kernels.activation import Polynomial
    from attnbench.kernels.polynomial import are_features_cheaper
    from attnbench.kernels.power_sums import power_sums
    from attnbench.kernels.tiled import elementwise_attention

    coefficients = ((degree, 1.0),)
    forms = {
        "tiles": lambda q, k, v: elementwise_attention(q, k, v, Polynomial(coefficients), causal),
        "features": lambda q, k, v: power_sums(q, k, v, coefficients, causal),
    }

    def call(form: str) -> object:
        def forward(_: int) -> None:
            with torch.no_grad():
                forms[form](*bench.inputs)

        def training(_: int) -> None:
            for x in bench.inputs:
                x.grad = None
            forms[form](*bench.inputs).backward(bench.upstream)

        return forward if mode == "forward" else training

    ratio = bench.ratio(call("tiles"), call("features"), patience_s=0.2)
    linear = are_features_cheaper(bench.inputs[0].shape, coefficients, causal)
    regret = max(1.0, 1 / ratio if linear else ratio)
    if 1 / 6 < ratio < 6:
        print(
            f"{bench.head_dim:>3} {degree:>2} {bench.seq_len:>8,} {causal!s:>7} {mode:>9}  {ratio:>16.2f}   "
            f"{'features' if linear else 'tiles':<8}  {regret:>18.2f}",
            flush=True,
        )
    return regret


if __name__ == "__main__":
    from attnbench.cli.output import write_any_letter

    write_any_letter()
    main()
