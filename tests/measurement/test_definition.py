"""The definition that results are held against is built anew: modules may keep what they like, and what they round is an error."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import attnbench
from attnbench.attention import Shape
from attnbench.errors import Incorrect
from attnbench.measurement.anew import Blueprint, Original, load_anew
from attnbench.measurement.cell_result import Measurement
from attnbench.measurement.checks import check
from attnbench.measurement.tracks import measure_cell
from attnbench.spec.construct import load_variant
from helpers.changed_template import CLASS, FORWARD, NEXT, OUT, SCORES, init, write
from helpers.records import make_spec

# What a module holds that cannot be copied or pickled, or must not be.
KEPT = {
    "its last matrix, with its history": {
        **init("self.last = None"),
        FORWARD: f"self.last = self.matrix(q, k, causal, padding_mask){NEXT}return self.last @ v",
    },
    "a lock": {**init("self.lock = threading.Lock()"), SCORES: f"with self.lock: {SCORES}"},
    "a module of Python": init("self.library = math"),
    "a generator": init("self.numbers = iter(int, 1)", "self.generator = torch.Generator()"),
    "a lambda": {**init("self.scale = lambda x: x / math.sqrt(x.shape[-1])"), SCORES: "scores = self.scale(q) @ k.mT"},
    "a table by length": {
        **init("self.tables = {}"),
        SCORES: f"scale = self.tables.setdefault(q.shape[-1], 1 / math.sqrt(q.shape[-1])){NEXT}scores = q @ k.mT * scale",
    },
    "a cache of functools": {
        CLASS: f"@functools.lru_cache\ndef scale(width): return 1 / math.sqrt(width)\n\n\n{CLASS}",
        SCORES: "scores = q @ k.mT * scale(q.shape[-1])",
    },
}
# Where a mechanism keeps a number that it draws.
DRAWN = {
    "a buffer": init("self.register_buffer('tau', torch.rand(()))"),
    "a buffer that is not saved": init("self.register_buffer('tau', torch.rand(()), persistent=False)"),
    "a parameter": init("self.tau = nn.Parameter(torch.rand(()))"),
    "a plain tensor": init("self.tau = torch.rand(())"),
    "the top of the file": {**init("self.tau = TAU"), CLASS: f"TAU = torch.rand(())\n\n\n{CLASS}"},
    "a list at the top of the file": {**init("self.tau = TAUS[0]"), CLASS: f"TAUS = [torch.rand(())]\n\n\n{CLASS}"},
    "the class": {CLASS: f"{CLASS}\n    tau = torch.rand(())\n"},
    "the class, of Python's random numbers": {CLASS: f"import random\n{CLASS}\n    tau = torch.tensor(random.random())\n"},
    "a tensor at the top that no state decides": {
        **init("self.tau = TAU"),
        CLASS: f"import os\nTAU = torch.tensor(list(os.urandom(1))) / 256\n\n\n{CLASS}",
    },
}
USED = {SCORES: "scores = q @ k.mT * self.tau.to(q.dtype)"}
# Where a mechanism keeps a table that it makes in the dtype of its first call; 1.37 i has no such cosine in bfloat16.
MADE = "(torch.arange(2048).to({0}) * 1.37).cos()"
LAZY = {
    "the module": {
        **init("self.table = None"),
        SCORES: f"if self.table is None: self.table = {MADE.format('q.dtype')}{NEXT}{SCORES} + 2 * self.table[: q.shape[-2]].to(q.dtype)",
    },
    "the top of the file": {
        CLASS: f"TABLES = {{}}\n\n\n{CLASS}",
        SCORES: f"if not TABLES: TABLES[0] = {MADE.format('q.dtype')}{NEXT}{SCORES} + 2 * TABLES[0][: q.shape[-2]].to(q.dtype)",
    },
    "a tensor at the top of the file that the first call fills": {
        CLASS: f"TABLE = torch.zeros(2048)\n\n\n{CLASS}",
        SCORES: f"if not TABLE.any(): TABLE.copy_({MADE.format('q.dtype')}){NEXT}{SCORES} + 2 * TABLE[: q.shape[-2]].to(q.dtype)",
    },
    "a cache of functools": {
        CLASS: f"@functools.cache\ndef table(): return {MADE.format('FIRST[0]')}\n\n\nFIRST = []\n\n\n{CLASS}",
        SCORES: f"FIRST.append(q.dtype){NEXT}{SCORES} + 2 * table()[: q.shape[-2]].to(q.dtype)",
    },
    "a module beside it": {
        CLASS: f"import lazy_table\n\n\n{CLASS}",
        SCORES: f"{SCORES} + 2 * lazy_table.table(q.dtype)[: q.shape[-2]].to(q.dtype)",
    },
}
BESIDE = f"import torch\nmade = []\ndef table(dtype):\n    if not made: made.append({MADE.format('dtype')})\n    return made[0]\n"


def measured(source: str, **axes: Any) -> Measurement:
    return measure_cell(make_spec(variant="mine", seq_len=320, num_heads=2, head_dim=16, **axes), source, None, lambda _: None)


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.long
def test_a_module_may_keep(kept: str, tmp_path: Path) -> None:
    source = write(tmp_path, KEPT[kept])
    report = check(source, {}, "cpu", full=False)
    assert report.ok, [found for found in report.checks if found.status == "failed"]
    assert measured(source, mode="training").samples["error"][0] < 1e-5


@pytest.mark.parametrize("drawn", DRAWN)
@pytest.mark.long
def test_a_module_may_draw_a_number_and_keep_it_in(drawn: str, tmp_path: Path) -> None:
    source = write(tmp_path, {**DRAWN[drawn], **USED})
    report = check(source, {}, "cpu", full=False)
    assert report.ok, [found for found in report.checks if found.status == "failed"]
    assert measured(source).samples["error"][0] < 1e-5
    assert measured(source, dtype="bfloat16").samples["error"][0] < 0.02


@pytest.mark.parametrize(
    "place", [pytest.param(of, marks=() if of in ("the module", "a module beside it") else pytest.mark.long) for of in LAZY]
)
def test_a_table_in_the_dtype_of_the_first_call_is_the_mechanisms_own_error(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written() -> str:
        """A new file, and a new module beside it, for this process meets a file once."""
        source = Path(write(tmp_path, LAZY[place]))
        source.with_name("lazy_table.py").write_text(BESIDE)
        monkeypatch.syspath_prepend(str(source.parent))
        monkeypatch.delitem(sys.modules, "lazy_table", raising=False)
        return str(source)

    assert "bfloat16" in check(written(), {}, "cpu", full=False).failed()
    with pytest.raises(Incorrect, match="the error against the float64 reference"):
        measured(written(), dtype="bfloat16")


def test_a_wrong_float32_is_not_hidden_by_it(tmp_path: Path) -> None:
    """The error of an honest cell is that of its dtype: the definition is no worse than before."""
    source = write(tmp_path, {})
    assert measured(source).samples["error"][0] < 1e-6
    assert 1e-4 < measured(source, dtype="bfloat16").samples["error"][0] < 0.02


def test_the_definition_shares_no_tensor_with_what_is_measured(tmp_path: Path) -> None:
    source = write(tmp_path, {**DRAWN["a parameter"], **USED})
    torch.manual_seed(3)
    original = Original(Blueprint(source, Shape(2, 8, seq_len=5), {}), "cpu", torch.bfloat16)
    before = torch.get_rng_state()
    variant, exact = original.definition()
    assert torch.equal(torch.get_rng_state(), before)
    assert type(exact) is not type(original.module) and type(exact).__name__ == type(original.module).__name__
    (own,), (other,) = original.module.parameters(), exact.parameters()
    assert (own.dtype, other.dtype) == (torch.bfloat16, torch.float64)
    assert own.item() == other.item() and own.data_ptr() != other.data_ptr()
    again = load_anew(source)
    assert variant.citation == again.variant.citation and again.shared is original.shared is None


def test_a_tensor_at_the_top_is_as_it_was_after_the_import_whatever_was_called_since(tmp_path: Path) -> None:
    """Also where the first module of this process was built and called before anybody asked for a definition."""
    source = write(tmp_path, LAZY["a tensor at the top of the file that the first call fills"])
    x = torch.randn(1, 2, 320, 16, dtype=torch.bfloat16)
    attnbench.build(source, 2, 16).bfloat16()(x, x, x)
    with pytest.raises(Incorrect, match="the error against the float64 reference"):
        measured(source, dtype="bfloat16")


@pytest.mark.parametrize(
    "ends",
    [
        "raise RuntimeError('only once')",
        pytest.param("sys.exit(3)", marks=pytest.mark.long),
        pytest.param("torch.set_default_dtype(torch.float64)", marks=pytest.mark.long),
    ],
)
def test_a_file_that_cannot_be_executed_twice_is_taken_as_it_is_and_told(ends: str, tmp_path: Path) -> None:
    """A lazy table at its top passes then: the record and the check say so."""
    once = f"import sys\nif getattr(math, 'executed', False): {ends}\nmath.executed = True\n\n\n"
    lazy = LAZY["the top of the file"]
    source = write(tmp_path, {**lazy, CLASS: once + lazy[CLASS]})
    try:
        found = measured(source, dtype="bfloat16")
        report = check(source, {}, "cpu", full=False)
    finally:
        del __import__("math").executed  # type: ignore[attr-defined]
    said = "the file cannot be executed a second time ("
    assert found.samples["error"][0] < 0.02 and str(found.facts["definition"]).startswith(said)
    told = [finding.name for finding in report.checks if said in finding.detail]
    assert {"float32", "bfloat16"} <= set(told)


def test_nothing_is_told_of_a_file_that_is_executed_twice(tmp_path: Path) -> None:
    source = write(tmp_path, {})
    assert "definition" not in measured(source, dtype="bfloat16").facts
    assert not any("second time" in finding.detail for finding in check(source, {}, "cpu", full=False).checks)


def test_a_file_that_somebody_else_imported_before_is_executed_again_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path, LAZY["a tensor at the top of the file that the first call fills"])
    spec = importlib.util.spec_from_file_location("of_somebody_else", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "of_somebody_else", module)
    spec.loader.exec_module(module)
    again = load_anew(source)
    assert again.shared is None and again.variant.build is not load_variant(source).build


@pytest.mark.parametrize("name", ["softmax", "performer", "differential"])
def test_the_definition_of_a_registered_mechanism_is_another_execution_too(name: str) -> None:
    again = load_anew(name)
    assert again.shared is None and again.variant.build is not load_variant(name).build


def test_the_rounding_of_a_zero_map_is_no_error(tmp_path: Path) -> None:
    changes = {SCORES: "scores = q @ k.mT * 0", FORWARD: f"out = {OUT}; return out - out + 1e-9 * v"}
    matrix = {"return hide_padding(padding_mask, scores.softmax(-1))[0]": "return hide_padding(padding_mask, 0 * scores.softmax(-1))[0]"}
    assert measured(write(tmp_path, {**changes, **matrix})).samples["error"][0] < 1e-6
