"""A file that changes what the whole process shares is refused by the name of the setting, and the setting put back."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import BadInput
from attnbench.measurement.checks import check
from attnbench.registry import process_settings
from attnbench.runner.gate import Gate
from attnbench.runner.jobs import CellJob, Limits, Result
from attnbench.runner.parent import run_in_child
from attnbench.store.store import Store
from helpers.command import cli_here
from helpers.records import make_spec

SOURCE = '''"""The values as they are."""
import gc, os, random, signal, sys, warnings
import numpy as np
import torch
from torch import nn
from attnbench.attention import Unsupported, Variant, hide_padding
{at_import}

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        {in_build}

    def forward(self, q, k, v, causal=False, padding_mask=None):
        if causal:
            raise Unsupported("no causal form")
        {in_forward}
        return hide_padding(padding_mask, v)[0]

VARIANT = Variant(build=lambda shape: Mine(), citation="none", family="other", formula="V", causal=False, normalises_rows=False,
                  time_exponent=1.0, memory_exponent=1.0)
'''
# What changes a setting, and what the refusal says of it.
CHANGES = {
    "torch.set_default_dtype(torch.float64)": "torch's default dtype from torch.float32 to torch.float64",
    "torch.set_default_device('meta')": "torch's default device from cpu to meta",
    "torch.set_num_threads(torch.get_num_threads() + 1)": "torch's number of threads",
    "torch.set_grad_enabled(False)": "torch's grad mode from True to False",
    "torch.use_deterministic_algorithms(True, warn_only=True)": "deterministic algorithms",
    "torch.autograd.set_detect_anomaly(True)": "anomaly mode",
    "torch.set_float32_matmul_precision('high')": "float32 matmul precision from highest to high",
    "torch.backends.cuda.matmul.allow_tf32 = True": "matmul",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'": "torch.backends.cuda.matmul.fp32_precision from ieee to tf32",
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False": "allow_bf16_reduced_precision_reduction",
    "torch.backends.cudnn.allow_tf32 = False": "torch.backends.cudnn.allow_tf32 from True to False",
    "torch.backends.cudnn.benchmark = True": "torch.backends.cudnn.benchmark from False to True",
    "torch.backends.cudnn.deterministic = True": "torch.backends.cudnn.deterministic",
    "torch.backends.mkldnn.enabled = False": "torch.backends.mkldnn.enabled",
    "torch.backends.fp32_precision = 'tf32'": "fp32_precision",
    "torch.backends.cuda.enable_flash_sdp(False)": "flash attention from True to False",
    "torch.backends.cuda.enable_mem_efficient_sdp(False)": "memory-efficient attention",
    "torch.backends.cuda.enable_math_sdp(False)": "by its definition",
    "torch.backends.mha.set_fastpath_enabled(False)": "fast path",
    "torch.set_flush_denormal(True)": "flush_denormal from False to True",
    "torch.set_autocast_enabled('cpu', True)": "autocast of the CPU",
    "os.environ['OMP_NUM_THREADS'] = '7'": "os.environ['OMP_NUM_THREADS']",
    "os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':16:8'": "os.environ['CUBLAS_WORKSPACE_CONFIG'] from not set to :16:8",
    "gc.disable()": "the garbage collector from True to False",
    "sys.setswitchinterval(1.0)": "sys.getswitchinterval()",
}  # fmt: skip
HARMLESS = (
    "torch.manual_seed(3)", "random.seed(3)", "np.random.seed(3)", "torch.randn(3)", "torch.set_printoptions(precision=3)",
    "sys.setrecursionlimit(12345)", "os.environ['TOKENIZERS_PARALLELISM'] = 'false'", "warnings.filterwarnings('ignore', 'a warning')",
    "warnings.simplefilter('error')",
    "os.environ['KMP_DUPLICATE_LIB_OK'] = 'True'", "import torch._dynamo", "import torch._inductor.config", "os.chdir('/')",
)  # fmt: skip


def write(folder: Path, at_import: str = "", in_build: str = "", in_forward: str = "") -> str:
    file = folder / "mine.py"
    file.write_text(SOURCE.format(at_import=at_import, in_build=in_build, in_forward=in_forward))
    return str(file)


def measured(source: str) -> Result:
    """What comes of a small kernel cell, without the gate's checks."""
    return run_in_child(CellJob(make_spec(variant="mine", seq_len=16), source, None, 1, Limits()), "forkserver")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Every test leaves every setting as it was."""
    before, here = process_settings.values(), Path.cwd()
    yield
    assert process_settings.changes(before) == []
    assert Path.cwd() == here


IN_A_FRESH_PROCESS = """
import gc, os, sys, torch
from attnbench.registry import process_settings
for change in sys.argv[1:]:
    if os.fork() == 0:
        before = process_settings.values()
        with process_settings.undone() as told:
            exec(change)
        left = process_settings.changes(before)
        print(f"{change}: {left}" if left or not told else "put back", flush=True)
        os._exit(0)
    os.wait()
"""


def test_a_change_is_put_back_whole_in_a_process_that_has_changed_nothing_before() -> None:
    """Torch changes some settings with others, which differ in a process in which they were written once."""
    done = subprocess.run([sys.executable, "-c", IN_A_FRESH_PROCESS, *CHANGES], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["put back"] * len(CHANGES), done.stdout + done.stderr


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_at_import_is_refused_by_name_and_put_back(change: str, tmp_path: Path) -> None:
    for _ in range(2):  # the second time as the first
        with pytest.raises(BadInput, match="variant 'mine', when it is imported, changes what the whole process shares: ") as refused:
            attnbench.build(write(tmp_path, at_import=change), 2, 4)
        assert CHANGES[change] in str(refused.value)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_build_is_refused_by_name_and_put_back(change: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="build of mine changes what the whole process shares: ") as refused:
        attnbench.build(write(tmp_path, in_build=change), 2, 4)
    assert CHANGES[change] in str(refused.value)


@pytest.mark.parametrize("use", HARMLESS)
def test_what_changes_nobodys_numbers_is_allowed_and_random_states_are_put_back(use: str, tmp_path: Path) -> None:
    source = write(tmp_path, at_import=use)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(), list(warnings.filters)
    registry.load("variants", source)  # and no more: beartype, which checks shapes in tests, draws which values to look at
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate() and before[3] == warnings.filters
    assert all(np.array_equal(a, b) for a, b in zip(before[2], np.random.get_state(), strict=True))
    assert attnbench.build(source, 2, 4) is not None


def test_a_change_is_put_back_when_the_import_fails_too(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be imported: ValueError: boom"):
        attnbench.build(write(tmp_path, at_import="torch.set_default_dtype(torch.float64)\nraise ValueError('boom')"), 2, 4)


def test_a_task_is_held_to_the_same(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import torch\ntorch.set_default_dtype(torch.float64)\nTASK = None\n")
    with pytest.raises(BadInput, match="task 'mine', when it is imported, changes"):
        registry.load("tasks", str(file))


def test_a_flag_that_forward_sets_and_restores_is_allowed(tmp_path: Path) -> None:
    flags = "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), torch.autograd.detect_anomaly(): v = 1 * v"
    source = write(tmp_path, at_import="import torch.nn.attention", in_forward=flags)
    result = measured(source)
    assert result.status == "ok", result.reason


@pytest.mark.parametrize("change", ["torch.set_default_dtype(torch.float64)", "torch.backends.cudnn.benchmark = True", "gc.disable()"])
def test_a_change_while_it_is_measured_makes_the_cell_incorrect(change: str, tmp_path: Path) -> None:
    """In the cell's own process, which the gate of the checks does not see."""
    result = measured(write(tmp_path, in_forward=change))
    assert result.status == "incorrect", result.reason
    assert CHANGES[change].partition(" from")[0] in (result.reason or "")


def test_nothing_of_such_a_file_is_measured_and_the_next_command_measures_as_ever(tmp_path: Path, results: Path) -> None:
    """The case of the issue."""
    source = write(tmp_path, at_import="torch.set_default_dtype(torch.float64)")
    cell = '{"track":"kernel","variant":"%s","seq_len":16,"mode":"forward"}'
    refused = cli_here("run", "--variant", source, "--cell", cell % "mine", "--results", str(results))
    assert refused.returncode == 2 and "torch's default dtype from torch.float32 to torch.float64" in refused.stderr
    assert not (results / "records").exists() and not (Gate(results).results / "checks").exists()
    assert cli_here("run", "--cell", cell % "softmax", "--results", str(results)).returncode == 0
    (record,) = Store(results).read()
    assert record.status == "ok"


FOUND = [
    "torch.set_default_dtype(torch.float64)", "torch.set_num_threads(1)", "torch.set_num_threads(2)", "torch.set_num_threads(3)",
    "torch.set_grad_enabled(False)", "torch.backends.cuda.enable_flash_sdp(False)", "os.environ['OMP_NUM_THREADS'] = '7'", "gc.disable()",
]  # fmt: skip
NAMES = {change.partition("(")[0]: name.partition(" from")[0] for change, name in CHANGES.items()}


@pytest.mark.parametrize("change", FOUND)
def test_a_change_in_forward_fails_the_checks_by_name_and_is_put_back(change: str, tmp_path: Path) -> None:
    report = check(write(tmp_path, in_forward=change), {}, "cpu", full=False)
    name = next(name for known, name in NAMES.items() if change.startswith(known))
    told = [found for found in report.checks if f"it changes what the whole process shares: {name} from " in found.detail]
    assert told and all(found.status == "failed" for found in told)
    assert {found.name for found in told} == set(report.failed())


def test_a_change_in_backward_alone_is_found(tmp_path: Path) -> None:
    change = "v = v.clone()\n        if v.requires_grad: v.register_hook(lambda _: torch.set_num_threads(1))"
    report = check(write(tmp_path, in_forward=change), {}, "cpu", full=False)
    assert report.failed() == ["unchanged"] and any("torch's number of threads from 2 to 1" in found.detail for found in report.checks)


def test_the_checks_after_a_change_run_under_the_right_settings(tmp_path: Path) -> None:
    """A mechanism that changes one in its first call alone fails the check in which that is, and no other."""
    once = "if not hasattr(math, 'called'): math.called = True; torch.set_default_dtype(torch.float64)"
    try:
        report = check(write(tmp_path, at_import="import math", in_forward=once), {}, "cpu", full=False)
    finally:
        del __import__("math").called  # type: ignore[attr-defined]
    assert report.failed() == ["deterministic"], report.checks


def test_a_flag_that_forward_restores_passes_the_checks(tmp_path: Path) -> None:
    flags = "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH): v = 1 * v"
    assert check(write(tmp_path, at_import="import torch.nn.attention", in_forward=flags), {}, "cpu", full=False).ok
