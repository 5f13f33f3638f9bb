"""Mechanisms that are broken on purpose, each the template with a fault put in: every check can fail, and the right one does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import attnbench
from attnbench.measurement.checks import CORRECTNESS, THOROUGH, check
from attnbench.measurement.checks.subject import Subject
from attnbench.measurement.checks.torch_threads import one_thread
from attnbench.spec.construct import load_variant

pytestmark = pytest.mark.long

TEMPLATE = (
    (Path(attnbench.__file__).parent / "variants" / "_template.py").read_text().replace("import math\n", "import math\n\nimport torch\n", 1)
)
HIDE_V = "(v,) = hide_padding(padding_mask, v)  # padding may hold anything, NaN included"
FORWARD = "return self.matrix(q, k, causal, padding_mask) @ v  # rows at padding come out as zero"
SCORES = "scores = q @ k.mT / math.sqrt(q.shape[-1])"
VISIBLE = "visible = visible_keys(q.shape[-2], causal, padding_mask, q.device, never_empty=True)"
MATRIX = "return hide_padding(padding_mask, scores.softmax(-1))[0]"
OUT = "self.matrix(q, k, causal, padding_mask) @ v"
DROPOUT = "torch.nn.functional.dropout"
BUILD = "build=lambda shape: MyAttention(),"
DOCSTRING = 'True = padding."""'
NEXT = "\n        "
INIT = "\n\n    def __init__(self, {}):\n        super().__init__()\n        "

# What is put in the place of what, and the checks that must fail for it, and no other.
FAULTS: Mapping[str, tuple[dict[str, str], set[str]]] = {
    "nothing": ({}, set()),
    "no module": ({BUILD: "build=lambda shape: None,"}, {"build"}),
    "float64 for everybody": ({FORWARD: f"return ({OUT}).double()"}, {"shape"}),
    "another scale than its matrix": (
        {FORWARD: "return self.matrix(1.01 * q, k, causal, padding_mask) @ v"},
        {"matrix", "lengths", "float32", "float16"},
    ),
    "another scale than its reference": (
        {
            "VARIANT = ": "REFERENCE = lambda module, q, k, *rest: module.matrix(1.01 * q, k, *rest)\n\nVARIANT = ",
            BUILD: f"{BUILD} reference=REFERENCE,",
        },
        {"reference", "lengths", "float32", "float16"},
    ),
    "what is left of a block of 64 is forgotten": (
        {FORWARD: f"n = q.shape[-2]; out = {OUT}; return out if n < 64 else out * (torch.arange(n) < n // 64 * 64).to(v.dtype)[:, None]"},
        {"matrix", "lengths", "float32", "bfloat16", "float16"},
    ),
    "a single token fails": ({HIDE_V: f"{HIDE_V}{NEXT}assert q.shape[-2] > 1"}, {"lengths", "causal_prefix"}),
    "scores in bfloat16": (
        {SCORES: f"{SCORES}{NEXT}scores = scores.bfloat16().float() if scores.dtype == torch.float32 else scores"},
        {"float32"},
    ),
    "a gradient in float32 alone": ({SCORES: f"q = q.detach() if q.dtype == torch.float32 else q; {SCORES}"}, {"float32"}),
    "values of few bits in bfloat16": (
        {HIDE_V: f"{HIDE_V}{NEXT}v = (4 * v).round() / 4 if v.dtype == torch.bfloat16 else v"},
        {"bfloat16"},
    ),
    "values of few bits in float16": (
        {HIDE_V: f"{HIDE_V}{NEXT}v = (16 * v).round() / 16 if v.dtype == torch.float16 else v"},
        {"float16"},
    ),
    "exponentials overflow in float16": (
        {MATRIX: f"if q.dtype == torch.float16: scores = (scores.exp() / scores.exp().sum(-1, keepdim=True)).log(){NEXT}{MATRIX}"},
        {"finite", "float16"},
    ),
    "exponentials overflow": ({MATRIX: "e = scores.exp(); return hide_padding(padding_mask, e / e.sum(-1, keepdim=True))[0]"}, {"finite"}),
    "unit queries without an epsilon": (
        {SCORES: f"q = q / q.norm(dim=-1, keepdim=True); {SCORES}"},
        {"finite", "padding", "gradients"},
    ),
    "a detached query": ({SCORES: f"q = q.detach(); {SCORES}"}, {"gradients"}),
    "a detached parameter": (
        {
            BUILD: "build=lambda shape: MyAttention(shape),",
            DOCSTRING: f"{DOCSTRING}{INIT.format('shape')}self.tau = torch.nn.Parameter(torch.ones(shape.num_heads, 1, 1))\n",
            SCORES: "scores = q @ k.mT * self.tau.detach()",
        },
        {"gradients"},
    ),
    "one token of look-ahead": (
        {
            VISIBLE: f"visible = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril(1) if causal else None{NEXT}"
            "if padding_mask is not None: visible = (True if visible is None else visible) & ~padding_mask[:, None, None] "
            "| padding_mask[:, None, :, None]"
        },
        {"causal", "causal_prefix", "padding_alone"},
    ),
    "a scale of the whole length": (
        {
            SCORES: "n = q.new_full((), q.shape[-2]) if padding_mask is None else (~padding_mask).sum(-1)[:, None, None, None]"
            f"{NEXT}{SCORES} * (1 + n / 100).to(q.dtype)"
        },
        {"causal_prefix"},
    ),
    "no causal form, and no word of it": ({"causal=True,": "causal=False,"}, {"causal"}),
    "values at padding": ({HIDE_V: ""}, {"padding"}),
    "rows at padding": ({MATRIX: "return scores.softmax(-1)"}, {"padding", "matrix"}),
    "padded keys take part": ({VISIBLE: VISIBLE.replace("padding_mask", "None")}, {"padding_alone", "row_sums"}),
    "positions": (
        {
            SCORES: f"place = torch.arange(q.shape[-2])[None] if padding_mask is None else (~padding_mask).cumsum(-1){NEXT}"
            f"{SCORES} + (0.01 * place[:, None, None]).to(q.dtype)"
        },
        {"equivariance"},
    ),
    "a mean over the batch": ({SCORES: f"{SCORES}{NEXT}scores = scores + 0.001 * scores.mean(0, True)"}, {"batch", "padding_alone"}),
    "a mean over the heads": ({SCORES: f"{SCORES}{NEXT}scores = scores + 0.001 * scores.mean(1, True)"}, {"heads"}),
    "the first call decides": (
        {SCORES: f"self.first = self.__dict__.get('first', q.detach().mean()); q = q - self.first{NEXT}{SCORES}"},
        {"earlier_calls"},
    ),
    "noise at every call": (
        {FORWARD: f"out = {OUT}; return out * (1 + 2e-7 * torch.rand_like(out)) if out.dtype == torch.float32 else out"},
        {"deterministic"},
    ),
    "noise at building": (
        {
            BUILD: "build=lambda shape: MyAttention(__import__('random').random()),",
            DOCSTRING: f"{DOCSTRING}{INIT.format('tau')}self.tau = tau\n",
            SCORES: "scores = q @ k.mT * self.tau",
        },
        {"deterministic"},
    ),
    "dropout that follows self.training": ({FORWARD: f"return {DROPOUT}({OUT}, 0.1, self.training)"}, set()),
    "dropout at every call": ({FORWARD: f"return {DROPOUT}({OUT}, 0.1)"}, {"deterministic"}),
    "a backward pass that raises": (
        {HIDE_V: f"if q.requires_grad: raise NotImplementedError('no backward pass'){NEXT}{HIDE_V}"},
        {"gradients"},
    ),
    "work in place": ({SCORES: "scores = q.div_(math.sqrt(q.shape[-1])) @ k.mT"}, {"unchanged"}),
    "a count of its calls": (
        {
            DOCSTRING: f"{DOCSTRING}{INIT.format('_=None')}self.register_buffer('calls', torch.zeros(()))\n",
            SCORES: f"self.calls += 1; {SCORES}",
        },
        {"unchanged"},
    ),
    "contiguous inputs only": ({HIDE_V: f"{HIDE_V}{NEXT}q.view(-1, q.shape[-1])"}, {"strides"}),
    "rows that do not sum to one": ({MATRIX: "return hide_padding(padding_mask, 0.99 * scores.softmax(-1))[0]"}, {"row_sums"}),
    "no orthogonal matrix": ({"normalises_rows=True,": "normalises_rows=True, orthogonal=True,"}, {"orthogonality"}),
}

# The same for the checks that belong to the full check alone.
FAULTS_BY_CHECK: Mapping[str, dict[str, str]] = {
    "long": {FORWARD: f"out = {OUT}; return out if q.shape[-2] <= 1024 else out.roll(1, -2)"},
    "time": {"time_exponent=2.0": "time_exponent=1.0"},
    "memory": {"memory_exponent=2.0": "memory_exponent=1.0"},
}
REPORTED = {"compile", "vmap"}


def write(folder: Path, changes: Mapping[str, str]) -> str:
    text = TEMPLATE
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = folder / "broken.py"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_the_checks_that_look_for_it(fault: str, tmp_path: Path) -> None:
    changes, expected = FAULTS[fault]
    report = check(write(tmp_path, changes), {}, "cpu", full=False)
    assert set(report.failed()) == expected, [f for f in report.checks if f.status == "failed"]


@pytest.mark.parametrize("name", FAULTS_BY_CHECK)
def test_a_fault_of_long_sequences_is_found(name: str, tmp_path: Path) -> None:
    for changes, expected in ({}, "passed"), (FAULTS_BY_CHECK[name], "failed"):
        folder = tmp_path / expected
        folder.mkdir()
        source = write(folder, changes)
        with one_thread():
            finding = THOROUGH[name](Subject(source, load_variant(source), {}))
        assert finding.status == expected, finding.detail
    assert finding.value is not None and finding.allowed is not None and finding.value > finding.allowed


def test_every_check_that_decides_can_fail() -> None:
    found = set(FAULTS_BY_CHECK).union(*(expected for _, expected in FAULTS.values()))
    elsewhere = {"decode", "rows", "grouped"}  # in test_decode_check.py, test_rows_check.py and test_forms_check.py
    assert found | elsewhere == set(CORRECTNESS) | set(THOROUGH) - REPORTED
