"""torch.compile inside a mechanism: it is checked and measured like any other, and what it lacks on a machine makes it unavailable."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor.cpp_builder as cpp_builder
from torch._inductor import config

from attnbench.attention import Shape
from attnbench.errors import Unavailable
from attnbench.measurement import compiler, flops
from attnbench.measurement.checks import check
from attnbench.measurement.tracks import measure_cell
from attnbench.registry import load
from helpers.changed_template import FORWARD, OUT, init, write
from helpers.records import make_spec

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch about itself, in the course of compiling

COMPILED = {
    **init("self.product = torch.compile(lambda a, v: a @ v * 1.0, fullgraph=True)"),
    FORWARD: "return self.product(self.matrix(q, k, causal, padding_mask), v)",
}
FLEX = {
    "from torch import nn\n": "from torch import nn\nfrom torch.nn.attention.flex_attention import flex_attention\n",
    FORWARD: f"return flex_attention(q, k, v) if not causal and padding_mask is None else {OUT}",
}
needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler")


def cell(source: str, **axes: Any) -> dict[str, list[float]]:
    spec = make_spec(variant="mine", seq_len=64, num_heads=2, head_dim=16, **axes)
    return measure_cell(spec, source, None, lambda _: None).samples


@needs_a_compiler
@pytest.mark.parametrize("mode", ["forward", "training"])
@pytest.mark.long
def test_a_compiled_mechanism_is_measured_with_all_its_metrics(mode: str, tmp_path: Path) -> None:
    before = threading.active_count()
    compiled, plain = cell(write(tmp_path, COMPILED), mode=mode), cell(write(tmp_path, {}), mode=mode)
    assert compiled.keys() == plain.keys()
    assert compiled["error"][0] < 1e-5
    assert compiled["flops"] == plain["flops"]
    assert threading.active_count() <= before + 1  # the monitor of tqdm
    assert compiled["first_call_s"][0] > max(compiled[f"{mode}_s"])


@needs_a_compiler
@pytest.mark.long
def test_a_function_may_be_compiled_anew_for_every_case_of_the_checks(tmp_path: Path) -> None:
    """With fullgraph=True torch raises where it has compiled a function eight times."""
    report = check(write(tmp_path, COMPILED), {}, "cpu", full=False)
    assert report.ok, [found for found in report.checks if found.status == "failed"]


def test_without_a_compiler_it_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "no-such-compiler")
    monkeypatch.setenv("CXX", missing)
    monkeypatch.setenv(compiler.CACHE, str(tmp_path / "cache"))  # or what was compiled before is found
    forget_compilers()
    source = write(tmp_path, COMPILED)
    try:
        with config.patch({"cpp.cxx": (missing,)}):
            with pytest.raises(Unavailable, match="no C\\+\\+ compiler"):
                check(source, {}, "cpu", full=False)
            with pytest.raises(Unavailable, match="install g"):
                cell(source)
    finally:
        forget_compilers()


def forget_compilers() -> None:
    """What torch found out about this machine's compiler, and what it compiled, counts no more."""
    for cached in ("get_cpp_compiler", "get_compiler_version_info", "_is_clang", "_is_gcc"):
        getattr(getattr(cpp_builder, cached, None), "cache_clear", lambda: None)()
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Failed to find C compiler. Please specify via CC environment variable"), "Triton found no C compiler"),
        (ValueError("Failed to multiply"), None),
        (type("Mute", (Exception,), {"__str__": lambda self: 1 / 0})(), None),
    ],
)
def test_what_is_absent_is_found_in_what_an_error_came_from(error: Exception, said: str | None) -> None:
    try:
        try:
            raise error
        except Exception as inner:
            raise KeyError("outer") from inner
    except KeyError as outer:
        found = compiler.absence(outer)
    assert found is None if said is None else found is not None and said in found


def test_a_cache_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(compiler.CACHE, str(file / "below"))
    compiler.prepare()
    assert Path(os.environ[compiler.CACHE]).is_relative_to(os.environ["TMPDIR"])
    monkeypatch.setenv(compiler.CACHE, str(tmp_path / "mine"))
    compiler.prepare()
    assert os.environ[compiler.CACHE] == str(tmp_path / "mine")
    assert torch._inductor.config.compile_threads == 1


def test_what_the_counter_cannot_follow_is_left_out_and_said(tmp_path: Path) -> None:
    source = write(tmp_path, FLEX)
    spec = make_spec(variant="mine", seq_len=64, num_heads=2, head_dim=16)
    measured = measure_cell(spec, source, None, lambda _: None)
    assert "flops" not in measured.samples
    assert "flex_attention" in str(measured.facts["flops_not_counted"])
    assert measured.samples["error"][0] < 1e-5
    q, k, v = torch.randn(3, 1, 2, 8, 4)
    module = load("variants", source).build(Shape(2, 4))
    with torch.no_grad(), pytest.raises(flops.Uncountable):
        flops.flops(lambda _: module(q, k, v))
    with pytest.raises(TypeError, match="not the counter"):
        flops.flops(lambda _: (_ for _ in ()).throw(TypeError("not the counter")))
