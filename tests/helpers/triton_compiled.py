"""Compiles the Triton kernels for a GPU that is not here, down to its machine code, by the assembler that Triton carries."""

from __future__ import annotations

import re
import subprocess
import tempfile
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from attnbench.kernels.triton.blocks import Blocks, candidates
from attnbench.kernels.triton.launch import FLOAT32_PRECISION, plan_of
from attnbench.kernels.triton.polynomial_backward import keys_kernel, queries_kernel
from attnbench.kernels.triton.polynomial_forward import forward_kernel
from attnbench.kernels.triton.tiles import Rows

KERNELS: dict[str, Any] = {"forward": forward_kernel, "keys": keys_kernel, "queries": queries_kernel}
TYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
NUMBERS = {"factor": "fp32", "heads": "i32", "seq_len": "i32", "PLAN": "constexpr"}
ALIGNED = [["tt.divisibility", 16]]


def compile_kernel(kernel: str, capability: int, dtype: torch.dtype, head_dim: int, causal: bool, blocks: Blocks | None = None) -> Any:
    """As a call on contiguous tensors would, with a scale of its own for each row when causal, and one for all otherwise."""
    function = KERNELS[kernel]
    blocks = blocks or candidates(kernel, dtype.itemsize, head_dim)[-1]
    precision = FLOAT32_PRECISION["cuda"] if dtype == torch.float32 else "ieee"
    signature: dict[str, Any] = {}
    constants: dict[tuple[int, ...], Any] = {}
    aligned: dict[tuple[int, ...], Any] = {}
    for place, name in enumerate(function.arg_names):
        signature[name] = NUMBERS.get(name) or Rows(
            "*fp32" if name == "row_scale" else "*" + TYPES[dtype], ("i32", "i32", "i32", "constexpr")
        )
        if name == "PLAN":
            constants[(place,)] = plan_of((3,), head_dim, causal, causal, dtype, precision, blocks)
        elif name not in NUMBERS:
            constants[(place, 1, 3)] = 1
            aligned |= dict.fromkeys([(place, 0), *((place, 1, axis) for axis in range(3))], ALIGNED)
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": blocks.num_warps, "num_stages": blocks.num_stages, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def spilled_bytes(compiled: Any) -> int:
    """Bytes of local memory for each thread, which registers were spilled to."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", usage)[1])  # type: ignore[index]
