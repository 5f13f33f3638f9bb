"""Fused polynomial attention in Triton: interpreted on the CPU, compiled for GPUs that are not here, and run on the one that is."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from attnbench.kernels.triton.polynomial import polynomial_attention, runs_on
from helpers.polynomial_definition import assert_close_to_definition, draw, draw_scale, with_gradients

REPO = Path(__file__).parents[2]  # not conftest's, so that --noconftest serves on a GPU machine without beartype
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
needs_triton = pytest.mark.skipif(not find_spec("triton"), reason="triton is not installed")
needs_interpreter = pytest.mark.skipif(
    not find_spec("triton") or tuple(map(int, version("triton").split(".")[:2])) < (3, 9),
    reason="triton is not installed, or older than 3.9: the interpreter of 3.6 takes arrays of one element for numbers, numpy 2.4 not",
)
needs_gpu = pytest.mark.skipif(
    not (torch.cuda.is_available() and runs_on(torch.empty(1, 1, 1, 1, device="cuda"))),
    reason="no NVIDIA GPU of compute capability 8.0 with triton: fused polynomial attention is interpreted and compiled, not run",
)


def test_it_is_imported_without_triton() -> None:
    program = """
import sys, torch
sys.modules["triton"] = None
from attnbench.kernels.triton.polynomial import runs_on
assert not runs_on(torch.randn(1, 1, 2, 16))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@needs_interpreter
@pytest.mark.parametrize("part", ["definition", "not definition"])  # two, so that two workers share it
@pytest.mark.long
def test_it_is_right_in_tritons_interpreter(part: str) -> None:
    """triton_interpreted.py in a process of its own, for Triton reads the variable when it is imported."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", part, "tests/kernels/triton_interpreted.py"]
    variables = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=REPO, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 10 and "skipped" not in done.stdout


@needs_triton
@pytest.mark.parametrize("kernel", ["forward", "keys", "queries"])
def test_it_compiles_for_a_gpu_that_is_not_here(kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For Hopper with its own matrix instruction and no register spilled to memory; for Ampere with hardly one."""
    from helpers.triton_compiled import compile_kernel, spilled_bytes

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    hopper = compile_kernel(kernel, 90, torch.bfloat16, head_dim=64, causal=True)
    assert "wgmma.mma_async" in hopper.asm["ptx"]
    assert spilled_bytes(hopper) == 0
    ampere = compile_kernel(kernel, 80, torch.float16, head_dim=64, causal=False)
    assert "mma.sync" in ampere.asm["ptx"]
    assert spilled_bytes(ampere) <= 32


@needs_gpu
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("head_dim", [5, 64, 128, 256])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_gpu_agrees_with_the_definition(dtype: torch.dtype, head_dim: int, causal: bool) -> None:
    for kind, powers in (("row", (3,)), ("sequence", (3, 1)), ("number", (2,)), ("number", (7, 1))):
        inputs = tuple(0.6 * x for x in draw(2, 3, 1000, head_dim, dtype=dtype, device="cuda"))  # x^7 stays in the range of float16
        rest = (powers, draw_scale(kind, 2, 1000, "cuda"), causal)
        assert_close_to_definition(with_gradients(polynomial_attention, *inputs, *rest), inputs, *rest)


@needs_gpu
@pytest.mark.parametrize("seq_len", [1, 17, 63, 130, 4097])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_gpu_takes_any_length_and_the_views_of_a_model(dtype: torch.dtype, seq_len: int) -> None:
    inputs = tuple(x.transpose(1, 2) for x in draw(2, seq_len, 3, 64, dtype=dtype, device="cuda"))
    rest = ((3,), draw_scale("row", 2, seq_len, "cuda"), True)
    assert_close_to_definition(with_gradients(polynomial_attention, *inputs, *rest), inputs, *rest)


@needs_gpu
@pytest.mark.parametrize("causal", [False, True])
def test_a_gpu_gives_the_same_bits_twice(causal: bool) -> None:
    inputs = draw(2, 3, 1000, 64, dtype=torch.bfloat16, device="cuda")
    first, second = (with_gradients(polynomial_attention, *inputs, (3,), 0.1, causal) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@needs_gpu
def test_a_gpu_allocates_no_matrix_of_the_scores() -> None:
    inputs = draw(1, 4, 16_384, 64, dtype=torch.bfloat16, device="cuda")
    with_gradients(polynomial_attention, *inputs, (3,), 0.1, True)  # tuned
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with_gradients(polynomial_attention, *inputs, (3,), 0.1, True)
    tensor = inputs[0].numel() * inputs[0].element_size()
    assert torch.cuda.max_memory_allocated() - before <= 5 * tensor  # out and three gradients; the scores would be 512 tensors


@needs_gpu
def test_a_gpu_is_never_waited_for() -> None:
    inputs = draw(2, 3, 1000, 64, dtype=torch.bfloat16, device="cuda")
    rest = ((3,), draw_scale("row", 2, 1000, "cuda"), True)
    with_gradients(polynomial_attention, *inputs, *rest)  # tuned
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the mode is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        with_gradients(polynomial_attention, *inputs, *rest)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_gpu
def test_a_gpu_reaches_beyond_two_billion_elements() -> None:
    """The second sequence begins 2^31 elements after the first."""
    storage = torch.full((2**31 + 3 * 1000 * 64,), math.nan, dtype=torch.bfloat16, device="cuda")
    shape, stride = (2, 3, 1000, 64), (2**31, 1000 * 64, 64, 1)
    q, k, v, d_out = draw(*shape, dtype=torch.bfloat16, device="cuda")
    far = storage.as_strided(shape, stride).copy_(q)
    results = with_gradients(polynomial_attention, far, k, v, d_out, (3,), 0.1, False)
    for result, near in zip(results, with_gradients(polynomial_attention, q, k, v, d_out, (3,), 0.1, False), strict=True):
        assert torch.equal(result, near)


@needs_gpu
def test_a_gpu_tunes_once_for_lengths_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    from attnbench.kernels.triton import blocks

    fastest: dict[tuple[object, ...], blocks.Blocks] = {}
    monkeypatch.setattr(blocks, "_fastest", fastest)
    for seq_len in (900, 1000):
        with_gradients(polynomial_attention, *draw(1, 1, seq_len, 64, dtype=torch.float16, device="cuda"), (3,), 0.1, False)
    assert sorted(str(key[0]) for key in fastest) == ["forward", "keys", "queries"]
    for key, chosen in fastest.items():
        assert chosen in blocks.candidates(str(key[0]), 2, 64)
