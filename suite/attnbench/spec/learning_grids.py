"""Which arms are trained on which tasks: what presets take their training runs from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnbench.spec.grids import Arm, Posed, TaskGrid
from attnbench.spec.pilot import PilotGrid
from attnbench.spec.protocol import NEWEST

RESIDUAL, SKIPLESS = {"block": "residual"}, {"block": "skipless"}
CONTROLS = ("identity", "uniform")  # what a task gives without a choice of tokens
EMBEDDED = ("mnist", "fashion_mnist", "sotu_era", "sotu_mlm", "sotu_lm")
# Generated tasks that softmax learns in their budget. Not among them, and in no preset: listops and pathfinder, which nothing here was
# shown to learn in minutes, and fuzzy_recall, which softmax learns with a token_shift in every layer alone.
RECALL = ("mqar", "selective_copy", "noisy_recall", "memorisation", "compression")
MANY_PAIRS = Posed("mqar", {"pairs": 16})  # the default, of four, is solved by all
SHORT = (*EMBEDDED, MANY_PAIRS)
PATCHES_196 = (Posed("mnist", {"patch": 2}), Posed("fashion_mnist", {"patch": 2}))  # 1 / sqrt(N) is the polynomial paper's own 1/14 there

QUADRATIC = Arm("polynomial", {"degree": 2, "scale": "learned"})  # the serviceable one of the paper's later version
EIGHT = ("softmax", "orthogonal", "polynomial", QUADRATIC, "sigmoid", "linear_elu", *CONTROLS)
# Softmax with other starts: that of orthogonal attention, and two that keep a deep model without skips well-conditioned.
STARTS = ("softmax_orthogonal_init", "value_skipinit", "shaped")
# Softmax-free activations under one protocol, and how large their scores are at the start, offered to softmax as well.
POLYNOMIALS = (
    "softmax",
    Arm("softmax", axes={"init_norm": 0.5}),
    "polynomial",
    Arm("polynomial", axes={"init_norm": 0.5}),
    Arm("polynomial", {"degree": [3, 1]}),
    QUADRATIC,
    Arm("polynomial", QUADRATIC.params, {"init_norm": 0.5}),
)

LADDER = (1.0, 0.5, 0.25)  # budgets whose ends, joined, say what is reached in equal time
TWICE = (1.0, 2.0)  # for claims: whether twice the budget says the same

# Every task that has a budget of its own.
PILOTED = PilotGrid((*EMBEDDED, *RECALL, *PATCHES_196, MANY_PAIRS), fixed=RESIDUAL)
STANDARD = TaskGrid(
    ("mnist", "sotu_era", "sotu_mlm"), ("softmax", "orthogonal", "polynomial", "linear_elu", *CONTROLS),
    seeds=NEWEST.ranked_seeds, processes=3, tuned=True, fixed=RESIDUAL,
)  # fmt: skip
# Of the two tasks of 196 patches it holds one, for the hours that their runs take. `claims` holds both, with more arms.
REFERENCE = (
    TaskGrid(SHORT, EIGHT, seeds=NEWEST.ranked_seeds, processes=3, tuned=True, budgets=LADDER, both_forms=True, fixed=RESIDUAL),
    TaskGrid(
        PATCHES_196[:1], ("softmax", "polynomial", QUADRATIC, *CONTROLS), seeds=NEWEST.claim_seeds, processes=3, tuned=True, fixed=RESIDUAL
    ),
)
_NO_TABLE = {**RESIDUAL, "positions": "none"}  # positions that do not end where training did


def _of_claims(
    tasks: tuple[str | Posed, ...], arms: tuple[str | Arm, ...], fixed: Mapping[str, Any], layers: tuple[int, ...] = (),
    budgets: tuple[float, ...] = TWICE, both_forms: bool = False,
) -> TaskGrid:  # fmt: skip
    return TaskGrid(
        tasks, arms, seeds=NEWEST.claim_seeds, processes=0, tuned=True, layers=layers, budgets=budgets, both_forms=both_forms, fixed=fixed
    )


def _decayed(*arms: Arm) -> tuple[Arm, ...]:
    """Arms with the weight decays that are not the usual one."""
    return tuple(Arm(arm.variant, arm.params, {"weight_decay": decay}) for decay in (0.0, 0.1) for arm in arms)


# What the claims rest on beside the reference preset's runs: eight seeds of every arm.
CLAIMS = (
    _of_claims((*PATCHES_196, "sotu_era", "sotu_mlm"), (*POLYNOMIALS, "sigmoid", *CONTROLS), RESIDUAL),
    _of_claims(("sotu_era", "sotu_mlm"), _decayed(Arm("polynomial"), QUADRATIC), RESIDUAL, budgets=(1.0,)),
    _of_claims(("mnist",), ("softmax",), RESIDUAL, layers=(6, 12)),
    _of_claims(("mnist",), ("softmax", "orthogonal"), SKIPLESS, layers=(6, 12)),
    _of_claims(("mnist",), CONTROLS, RESIDUAL, layers=(6, 12), budgets=(1.0,)),
    _of_claims(("mnist",), CONTROLS, SKIPLESS, layers=(6, 12), budgets=(1.0,)),
    _of_claims(("mnist",), _decayed(Arm("softmax")), RESIDUAL, layers=(6, 12), budgets=(1.0,)),
    _of_claims(("mnist",), _decayed(Arm("softmax"), Arm("orthogonal")), SKIPLESS, layers=(6, 12), budgets=(1.0,)),
    _of_claims(("mnist",), ("orthogonal_cayley", Arm("orthogonal_cayley", {"damping": 1.0}), *STARTS), SKIPLESS, layers=(12,)),
    _of_claims((MANY_PAIRS,), ("softmax", "linear_elu", "mamba2", "polynomial", QUADRATIC), RESIDUAL, both_forms=True),
    _of_claims((MANY_PAIRS,), CONTROLS, RESIDUAL, budgets=(1.0,), both_forms=True),
    _of_claims(("sotu_lm",), ("softmax", "ssmax"), {**_NO_TABLE, "test_seq_len": 256}),
    _of_claims(("sotu_lm",), CONTROLS, {**_NO_TABLE, "test_seq_len": 256}, budgets=(1.0,)),
)
