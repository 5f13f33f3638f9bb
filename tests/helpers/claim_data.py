"""Planted data for every claim and verdict: made-up records of which it is known by arithmetic what a claim's rule must say.

Nothing here comes from a measurement. `PLANTED[name][verdict]` gives the records; see `table_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import pandas as pd

from attnbench import registry
from attnbench.analysis.frame import frame
from attnbench.claim import Claim
from helpers.claim_records import (
    SEEDS,
    Records,
    against_softmax,
    conditions,
    costs,
    damped,
    growing,
    halved,
    joined,
    lengthened,
    matrices,
    orthogonal_trained,
    polynomial_trained,
    polynomials,
    ranks,
    recalled,
    sigmoids,
    skipless,
    softmax_trained,
    started,
)


def claim(name: str) -> Claim:
    return registry.load("claims", name)  # type: ignore[no-any-return]


@cache
def table_of(name: str, verdict: str) -> pd.DataFrame:
    """The planted records of a claim and a verdict, as a frame; no test changes it."""
    return frame(list(PLANTED[name][verdict]()), curves=True)


def _planted(make: Callable[..., Records], **given: tuple[Any, ...]) -> dict[str, Callable[[], Records]]:
    """The same maker with other numbers for each verdict."""
    return {name.replace("_", " "): partial(make, *numbers) for name, numbers in given.items()}


def _polynomials(tasks: Sequence[str]) -> dict[str, Callable[[], Records]]:
    """Of x³/√N and x² by how many margins they are ahead of softmax."""

    def make(cubic: float, quadratic: float) -> Records:
        return against_softmax(tasks, {"polynomial": cubic, "quadratic": quadratic})

    return _planted(make, reproduced=(0.0, 0.5), partly=(-3.0, 0.0), not_reproduced=(-3.0, -2.0), inconclusive=(0.0, -1.0))


def _recall(one: str, other: str, forms: Sequence[bool] = (False, True)) -> dict[str, Callable[[], Records]]:
    """Of two mechanisms by how much they are behind softmax at recall."""
    make = partial(recalled, one, other, forms)
    return _planted(make, reproduced=(0.3, 0.2), partly=(0.3, 0.006), not_reproduced=(0.0, -0.1), inconclusive=(0.0, 0.0, 0.2))


_LOW, _HIGH = [2.0] * SEEDS, [50.0] * SEEDS
PLANTED: dict[str, dict[str, Callable[[], Records]]] = {
    "orthogonal_is_linear": _planted(
        costs, reproduced=(1.0, 2.0), partly=(1.0, 1.0), not_reproduced=(2.0, 2.0), inconclusive=(1.5, 2.0, 0.5)
    ),
    "orthogonal_conditions_depth": _planted(
        conditions,
        reproduced=(lambda seed: 2.0, 1e9),
        partly=(lambda seed: 1e4, 1e9),
        not_reproduced=(lambda seed: 1e8, 1e7),
        inconclusive=(lambda seed: 1e4 if seed else 2.0, 1e9),
    ),
    "orthogonal_stays_orthogonal": {
        "reproduced": lambda: joined(matrices("orthogonal", "orthogonality_error", 1e-6), orthogonal_trained(1e-5)),
        "partly": lambda: joined(matrices("orthogonal", "orthogonality_error", 1e-6), orthogonal_trained(0.1)),
        "not reproduced": lambda: joined(matrices("orthogonal", "orthogonality_error", 1e-2), orthogonal_trained(0.1)),
        "inconclusive": lambda: matrices("orthogonal", "orthogonality_error", 1e-6),
    },
    "orthogonal_trains_skipless": _planted(
        skipless, reproduced=(0.88, 0.6), partly=(0.7, 0.3), not_reproduced=(0.3, 0.6), inconclusive=(0.82, 0.6)
    ),
    "softmax_norm_is_bounded": {
        "reproduced": lambda: joined(matrices("softmax", "attention_frobenius", 0.5), softmax_trained(0.9)),
        "partly": lambda: joined(matrices("softmax", "attention_frobenius", 0.5), softmax_trained(1.1)),
        "not reproduced": lambda: joined(matrices("softmax", "attention_frobenius", 1.5), softmax_trained(1.1)),
        "inconclusive": lambda: softmax_trained(0.9),
    },
    "softmax_loses_rank": _planted(
        ranks,
        reproduced=(lambda seed: 0.1,),
        partly=(lambda seed: 0.7,),
        not_reproduced=(lambda seed: 1.0,),
        inconclusive=(lambda seed: 1.0 if seed else 0.1,),
    ),
    "polynomial_norm_is_bounded": _planted(
        growing, reproduced=(0.5, 1.0), partly=(0.5, 0.5), not_reproduced=(1.0, 1.5), inconclusive=(0.75, 1.0, 1.0)
    ),
    "polynomial_norm_in_training": _planted(
        polynomial_trained,
        reproduced=(_LOW, _LOW),
        partly=(_HIGH, _LOW),
        not_reproduced=(_HIGH, _HIGH),
        inconclusive=([2.0] * 4 + [50.0] * 4, _LOW),
    ),
    "polynomial_matches_softmax_on_vision": _polynomials(("mnist", "fashion_mnist")),
    "polynomial_matches_softmax_on_classification": _polynomials(("sotu_era",)),
    "polynomial_on_byte_language": _polynomials(("sotu_mlm",)),
    "sigmoid_matches_softmax": _planted(
        sigmoids, reproduced=(0.0, 0.5, 0.0), partly=(0.0, -3.0, 0.0), not_reproduced=(-3.0, -3.0, -3.0), inconclusive=(0.0, -1.0, 0.0)
    ),
    "linear_attention_trails_on_recall": _recall("linear_elu", "mamba2", [True]),
    "polynomial_trails_on_recall": _recall("polynomial", "quadratic"),
    "polynomial_matches_sigmoid": _planted(
        polynomials,
        reproduced=((0.0, 0.5, 0.0), (0.0, 1.0, 3.0)),
        partly=((0.0, 0.0, -3.0), (0.0, 0.0, 0.0)),
        not_reproduced=((-3.0, -3.0, -3.0), (-2.0, -2.0, -2.0)),
        inconclusive=((0.0, -1.0, 0.0), (0.0, 0.0, 0.0)),
    ),
    "orthogonality_beyond_its_start": _planted(
        started,
        reproduced=(0.9, 0.7, 0.8, 0.85),
        partly=(0.9, 0.7, 0.95, 0.897),
        not_reproduced=(0.8, 0.81, 0.9, 0.8),
        inconclusive=(0.11, 0.1, 0.12, 0.1),
    ),
    "ssmax_generalises_in_length": _planted(
        lengthened, reproduced=(0.2, 0.4), partly=(0.02, 0.4), not_reproduced=(0.0, -0.2), inconclusive=(0.0, 0.0, 0.2)
    ),
    "damping_hurts_depth": _planted(
        damped, reproduced=(0.9, 0.7), partly=(0.9, 0.895), not_reproduced=(0.8, 0.9), inconclusive=(0.12, 0.1)
    ),
    "initial_norm_matters": _planted(
        halved, reproduced=(-3.0, 3.0, 5.0), partly=(0.0, 3.0, 3.0), not_reproduced=(0.0, 0.0, 0.0), inconclusive=(0.0, 0.0, 0.0, 3.0)
    ),
}  # fmt: skip
TRAINED = [name for name in PLANTED if any(arm.seeds == SEEDS for arm in claim(name).arms)]  # those that rest on training runs
