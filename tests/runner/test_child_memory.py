"""Memory that a call frees is there for the next one, so that its time does not hang on what the heap of its process looks like."""

from __future__ import annotations

import platform
import resource
from dataclasses import dataclass

import pytest
import torch

from attnbench.measurement.allocator import keep_freed_memory
from attnbench.measurement.cell_result import Stage
from attnbench.runner.parent import run_in_child
from helpers.misbehaving import Errand

CALLS = 20


@dataclass(frozen=True)
class Faults(Errand):
    """Page faults of each of twenty calls that hold three tensors of so many bytes at once, as naive attention holds its scores."""

    tensor_bytes: int = 2**20

    def work(self, stage: Stage) -> list[int]:
        keep_freed_memory()  # as a cell, a check and the measuring of peaks do
        found = []
        for _ in range(CALLS):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            held = [torch.ones(self.tensor_bytes // 4) for _ in range(3)]
            del held
            found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        return found


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has another way")
@pytest.mark.parametrize("mebibytes", [1, 4, 16, 31])
def test_a_call_finds_the_memory_that_the_last_one_freed(mebibytes: int) -> None:
    faults = run_in_child(Faults(tensor_bytes=mebibytes * 2**20), "forkserver").value
    pages = 3 * mebibytes * 2**20 // resource.getpagesize()
    assert faults[0] > max(faults[5:]), "the first call touches new memory"
    assert max(faults[5:]) < pages / 20
