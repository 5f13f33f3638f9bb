"""Causal-only mechanisms, grouped queries and gates by hidden states: the template in each form holds, and faults of each are found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

import attnbench
from attnbench.attention import BadInput, Unsupported
from attnbench.measurement.checks import check
from helpers.changed_template import FORWARD, HIDE_V, NEXT, SCORES, init, write

Changes = Mapping[str, str]

BUILD, WITH_SHAPE = "build=lambda shape: MyAttention(),", "build=lambda shape: MyAttention(shape),"
EQUIVARIANT = "equivariant=True,"
IMPORTED = "Variant, hide_padding"

REFUSED = f"{NEXT}if not causal: raise Unsupported('it is only causal')"
ONLY: Changes = {"causal=True,": 'causal="only",', EQUIVARIANT: "equivariant=False,", HIDE_V: f"{HIDE_V}{REFUSED}"}

REPEATED = "repeat_heads(q.shape[1], k)[0]"
GROUPED: Changes = {
    IMPORTED: f"{IMPORTED}, repeat_heads",
    EQUIVARIANT: f"{EQUIVARIANT} grouped=True,",
    HIDE_V: f"{HIDE_V}{NEXT}(v,) = repeat_heads(q.shape[1], v)",
    SCORES: f"scores = q @ {REPEATED}.mT / math.sqrt(q.shape[-1])",
}
ONE_EACH: Changes = {
    **init("self.tau = nn.Parameter(torch.ones(shape.kv_heads, 1, 1))", given="self, shape"),
    BUILD: WITH_SHAPE,
    REPEATED: REPEATED.replace("k)", "k * self.tau)"),
}

GIVEN = "padding_mask: PaddingMask | None = None) -> {}:"
GATE = "self.gate(hide_padded_tokens(padding_mask, hidden)).sigmoid().mT[..., None]"
OUT = "return self.matrix(q, k, causal, padding_mask, hidden) @ v"
GATED: Changes = {
    **init("self.gate = nn.Linear(shape.d_model, shape.num_heads)", given="self, shape"),
    BUILD: f"{WITH_SHAPE} needs_hidden=True,",
    "normalises_rows=True,": "normalises_rows=False,",
    IMPORTED: "Variant, hide_padded_tokens, hide_padding",
    GIVEN.format("Heads"): GIVEN.format("Heads").replace(") ->", ", hidden=None) ->"),
    GIVEN.format("Matrix"): GIVEN.format("Matrix").replace(") ->", ", hidden=None) ->"),
    FORWARD: OUT,
    "scores.softmax(-1))[0]": f"scores.softmax(-1) * {GATE})[0]",
}

# What is put in the place of what, and the checks that must fail for it, and no other.
FAULTS: dict[str, tuple[tuple[Changes, ...], set[str]]] = {
    "only causal": ((ONLY,), set()),
    "only causal, and the other form is there": ((ONLY, {REFUSED: ""}), {"causal"}),
    "only causal, and equivariant": ((ONLY, {"equivariant=False,": EQUIVARIANT}), {"equivariance"}),
    "grouped": ((GROUPED,), set()),
    "grouped, the heads in another order": ((GROUPED, {REPEATED: "k.repeat(1, q.shape[1] // k.shape[1], 1, 1)"}), {"grouped"}),
    "grouped, with a parameter for each key-value head": ((GROUPED, ONE_EACH), {"grouped"}),
    "grouped is said, and is not": (({EQUIVARIANT: f"{EQUIVARIANT} grouped=True,"},), {"grouped"}),
    "gated": ((GATED,), set()),
    "gated at padding too": ((GATED, {GATE: GATE.replace("hide_padded_tokens(padding_mask, hidden)", "hidden")}), {"padding"}),
    "gated by the token after": (
        (GATED, {GATE: GATE.replace(".sigmoid()", ".sigmoid().roll(-1, 1)")}),
        {"causal", "causal_prefix", "equivariance", "padding_alone"},
    ),
    "a gate that is applied twice": ((GATED, {OUT: f"{OUT} * {GATE}"}), {"matrix", "lengths", "float32", "bfloat16", "float16"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_form_is_found(fault: str, tmp_path: Path) -> None:
    changes, expected = FAULTS[fault]
    report = check(write(tmp_path, *changes), {}, "cpu", full=False)
    assert set(report.failed()) == expected, [f for f in report.checks if f.status == "failed"]


def test_grouped_sums_that_fold_count_as_before() -> None:
    """polynomial keeps its latest tokens in a cache and folds them into sums, here of two key-value heads for six queries each."""
    one, other = (attnbench.build("polynomial", 12, 4, degree=1, num_kv_heads=kv).double() for kv in (2, None))
    q, k, v = (torch.randn(1, heads, 60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(heads)) for heads in (12, 2, 2))
    state = one.prefill(q[:, :, :30], k[:, :, :30], v[:, :, :30])  # type: ignore[operator]
    outs = []
    for token in range(30, 60):
        at = slice(token, token + 1)
        out, state = one.step(q[:, :, at], k[:, :, at], v[:, :, at], state)  # type: ignore[operator]
        outs.append(out)
    assert state.folded >= 50
    wanted = other(q, k.repeat_interleave(6, 1), v.repeat_interleave(6, 1), causal=True)[:, :, 30:]
    torch.testing.assert_close(torch.cat(outs, 2), wanted)


def test_key_value_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Unsupported, match="relu has no grouped queries: it takes as many key-value heads as heads, 8, not 2"):
        attnbench.build("relu", 8, 4, num_kv_heads=2)
    with pytest.raises(BadInput, match="num_kv_heads is 3; it must divide the number of heads, 8"):
        attnbench.build("softmax", 8, 4, num_kv_heads=3)
    assert attnbench.build("relu", 8, 4, num_kv_heads=8)(*torch.zeros(3, 1, 8, 2, 4)).shape == (1, 8, 2, 4)
