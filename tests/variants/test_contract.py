"""The contract of a mechanism, held against every registered name: a new file is tested without a new test.

Shapes, the definition, precision, gradients, causality, padding, decoding and independence are what `attnbench check` looks at: its whole
correctness subset is run here. The other tests hold what it does not: that a variant is declared in full; each gradient by itself in
float32, under padding and at one token (the check takes all gradients together, unpadded, at 63 tokens); that a variant whose rows sum to
one says so; and that one which is only causal refuses the matrix of its other form. Decoding in bfloat16 and from views is in
test_decode.py.
"""

from __future__ import annotations

import copy
import importlib

import pytest
import torch

from attnbench import registry
from attnbench.errors import Unsupported
from attnbench.measurement.checks import CORRECTNESS, check
from helpers.mechanisms import (
    FAMILIES,
    NAMES,
    RUNNABLE,
    VARIANTS,
    alike_are_long,
    attend,
    backward,
    definition,
    device_of,
    draw,
    gradient_error,
    leaves,
    make,
    masks,
    relative_error,
    subject_of,
    variants,
)

# Of what a mechanism may lack or not claim; every other check must have been carried out.
MAY_BE_SKIPPED = {
    "matrix", "reference", "bfloat16", "float16", "causal_prefix", "decode", "equivariance", "grouped", "row_sums", "orthogonality",
}  # fmt: skip
UNDECLARED = [name for name in RUNNABLE if not VARIANTS[name].normalises_rows]
CAUSAL_ONLY = [name for name in RUNNABLE if VARIANTS[name].causal == "only"]
assert UNDECLARED and CAUSAL_ONLY  # pytest would skip a test without parameters


@pytest.mark.parametrize("name", NAMES)
def test_it_is_declared_in_full(name: str) -> None:
    variant = VARIANTS[name]
    docstring = importlib.import_module(f"attnbench.variants.{name}").__doc__ or ""
    assert len(docstring.split("\n", 1)[0].strip()) > 10
    assert registry.summary("variants", name) == docstring.split("\n", 1)[0]
    assert variant.citation.strip() and variant.formula.strip()
    assert variant.family in FAMILIES
    assert 1.0 <= variant.time_exponent <= 3.0 and 1.0 <= variant.memory_exponent <= 3.0
    assert variant.head_group >= 1


@pytest.mark.parametrize("name", alike_are_long(RUNNABLE))
def test_every_correctness_check_holds(name: str) -> None:
    """In this process, on one thread, with the variant's own parameters."""
    report = check(name, {}, device_of(name), full=False)
    assert report.ok, [finding for finding in report.checks if finding.status == "failed"]
    assert [finding.name for finding in report.checks] == list(CORRECTNESS)
    assert {finding.name for finding in report.checks if finding.status != "passed"} <= MAY_BE_SKIPPED


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "one token"])
@variants
def test_each_gradient_in_float32_is_that_of_the_definition(name: str, padded: bool) -> None:
    mask = masks(("right", "left", "holes", "all", "none"), device_of(name)) if padded else None
    drawn = draw(name, seq_len=1) if mask is None else draw(name, batch=len(mask))
    module = make(name, drawn["v"].shape[2])
    exact = copy.deepcopy(module).double()
    for causal in subject_of(name).forms:
        single, double = leaves(drawn, torch.float32), leaves(drawn, torch.float64)
        out, expected = attend(module, single, causal, mask), definition(name, exact, double, causal, mask)
        assert relative_error(out, expected) < 1e-4
        found, wanted = backward(out, module, single), backward(expected, exact, double)
        assert found.keys() == wanted.keys() > drawn.keys() - {"v"}
        for key, gradient in found.items():
            assert gradient_error(gradient, wanted[key], wanted) < 1e-4, (key, causal)


@pytest.mark.parametrize("name", UNDECLARED)
def test_a_mechanism_whose_rows_sum_to_one_declares_it(name: str) -> None:
    module, inputs = make(name).double(), {key: x.double() for key, x in draw(name).items()}
    for causal in subject_of(name).forms:
        sums = attend(module, {**inputs, "v": torch.ones_like(inputs["v"])}, causal)
        assert not torch.allclose(sums, torch.ones_like(sums), rtol=0.0, atol=1e-9), causal


@pytest.mark.parametrize("name", CAUSAL_ONLY)
def test_a_mechanism_that_is_only_causal_refuses_the_other_form_by_its_name(name: str) -> None:
    """Of its output, and of its matrix, of which the check `causal` does not ask."""
    module, inputs = make(name), draw(name)
    calls = [module, *([module.matrix] if hasattr(module, "matrix") else [])]
    for call in calls:
        given = {key: x for key, x in inputs.items() if call is module or key != "v"}
        with pytest.raises(Unsupported, match=f"{name} has no bidirectional form"):
            call(**given)
