"""The check `rows`: a reference_rows that is not the mechanism's definition is found, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attnbench.measurement.checks import CORRECTNESS
from attnbench.measurement.checks.rows import rows
from attnbench.measurement.checks.subject import Subject
from attnbench.spec.construct import load_variant
from attnbench.store.report import Finding
from helpers.changed_template import TEMPLATE, write

DECLARATION = "VARIANT = Variant("
BUILD = "build=lambda shape: MyAttention(),"
MATRIX = "def matrix(self, q: Heads, k: Heads"
OUTPUT = "seen.without_padding(seen.softmax(seen.scores()) @ seen.v)"
DEFINITION = f"""from attnbench.kernels.definition import see


def reference_rows(module, q, k, v, rows, causal, padding_mask, hidden=None):
    seen = see(q, k, v, rows, causal, padding_mask)
    return {OUTPUT}


{DECLARATION}"""
SEE = "see(q, k, v, rows, causal, padding_mask)"
FAULTS = {  # what is put in the place of what in the definition, and what is said
    "another scale": ((OUTPUT, OUTPUT.replace("seen.scores()", "1.001 * seen.scores()")), "relative difference"),
    "it looks ahead": ((SEE, SEE.replace("causal", "False")), "(causal"),
    "it sees padding": ((SEE, SEE.replace("padding_mask", "None")), "padded"),
    "rows at padding are not zero": ((OUTPUT, "seen.softmax(seen.scores()) @ seen.v"), "padded"),
    "rows in ascending order": ((SEE, SEE.replace("rows", "rows.sort().values")), "relative difference"),
    "repeated rows once": ((SEE, SEE.replace("rows", "rows.unique()")), "asked for"),
    "rounded to float32": ((OUTPUT, f"{OUTPUT}.float().to(v.dtype)"), "relative difference"),
    "in another dtype": ((OUTPUT, f"{OUTPUT}.float()"), "torch.float32"),
    "fewer keys in long sequences": (
        (SEE, SEE.replace("padding_mask", "padding_mask if q.shape[-2] < 1000 else torch.arange(q.shape[-2])[None] < 100")),
        "seq_len 1103",
    ),
    "no gradient": ((OUTPUT, f"{OUTPUT}.detach()"), "cannot be differentiated"),
    "no gradient of the keys": ((SEE, SEE.replace("k,", "k.detach(),")), "gradients"),
}


def checked(source: str) -> Finding:
    return rows(Subject(source, load_variant(source), {}))


def with_rows(folder: Path, *changes: tuple[str, str], more: dict[str, str] | None = None) -> str:
    text = DEFINITION
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return write(folder, {DECLARATION: text, BUILD: f"{BUILD} reference_rows=reference_rows,", **(more or {})})


def test_it_is_among_the_correctness_checks_and_holds_for_a_right_definition(tmp_path: Path) -> None:
    assert CORRECTNESS["rows"] is rows
    found = checked(with_rows(tmp_path))
    assert found.status == "passed" and "from the dense definition" in found.detail, found.detail


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_definition_is_found(fault: str, tmp_path: Path) -> None:
    change, said = FAULTS[fault]
    found = checked(with_rows(tmp_path, change))
    assert found.status == "failed" and said in found.detail, found.detail


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_without_a_matrix_forward_is_the_measure(right: bool, tmp_path: Path) -> None:
    assert TEMPLATE.count("self.matrix(") == 1
    no_matrix = {MATRIX: MATRIX.replace("matrix", "weights"), "self.matrix(": "self.weights("}
    wrong = () if right else ((OUTPUT, f"0.999 * {OUTPUT}"),)
    found = checked(with_rows(tmp_path, *wrong, more=no_matrix))
    assert found.status == ("passed" if right else "failed") and "from forward" in found.detail, found.detail


def test_a_definition_with_hidden_states_is_given_them(tmp_path: Path) -> None:
    """Outputs times the cosine of the hidden states, head by head; the fault is to leave these out."""
    gated = {
        "padding_mask: PaddingMask | None = None) -> Heads:": "padding_mask: PaddingMask | None = None, hidden=None) -> Heads:",
        "@ v  # rows at padding come out as zero": (
            "@ v * hide_padding(padding_mask, hidden.unflatten(-1, (q.shape[1], -1)).transpose(1, 2))[0].cos()"
        ),
        MATRIX: MATRIX.replace("matrix", "weights"),  # for it is not the whole mechanism
        "self.matrix(": "self.weights(",
        BUILD: f"{BUILD} reference_rows=reference_rows, needs_hidden=True,",
    }
    factor = "hidden.nan_to_num().unflatten(-1, (q.shape[1], -1)).transpose(1, 2)[..., rows, :].cos()"
    right = (OUTPUT, f"seen.without_padding(seen.softmax(seen.scores()) @ seen.v * {factor})")
    assert checked(with_rows(tmp_path, right, more=gated)).status == "passed"
    assert checked(with_rows(tmp_path, more=gated)).status == "failed"


def test_a_variant_without_rows_is_told_what_it_goes_without(tmp_path: Path) -> None:
    found = checked(write(tmp_path, {}))
    assert found.status == "skipped" and "dense matrix" in found.detail
    none = checked(write(tmp_path, {MATRIX: MATRIX.replace("matrix", "weights"), "self.matrix(": "self.weights("}))
    assert none.status == "skipped" and "no definition" in none.detail


def test_rows_come_from_the_execution_of_the_file_that_belongs_to_float64(tmp_path: Path) -> None:
    """A table at the top of the file that is rounded in one dtype is not shared with the definition in another."""
    source = with_rows(tmp_path)
    subject = Subject(source, load_variant(source), {})
    assert subject.executed(torch.float64).reference_rows is not subject.variant.reference_rows
