"""Measures the memory of a call: the allocator's exact peak, and, as a sanity check, the growth of the process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from attnbench.store.probe import text_of_file

Call = Callable[[int], object]


def peak_memory_bytes(call: Call, device: str) -> float:
    """Most bytes allocated at once during a call, over what was allocated before it. The call must be warm, gradients cleared.

    CPU: the running sum of the profiler's allocator events, exact and independent of the machine. CUDA: the allocator's own
    statistics; one global counter, so that two measures must not nest.

    Raises RuntimeError when the call frees what was allocated before it: the peak is then hidden.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = call(0)
        torch.cuda.synchronize()
        del result
        return float(torch.cuda.max_memory_allocated() - before)
    running = peak = 0
    for change in _changes(call):
        running += change
        if running < 0:
            raise RuntimeError("the measured call freed memory that was allocated before it, so its peak cannot be told")
        peak = max(peak, running)
    return float(peak)


def held_bytes(make: Call, device: str) -> float:
    """Bytes that the result of a call keeps allocated: the size of a state, whatever its type."""
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        result = make(0)
        torch.cuda.synchronize()
        held = torch.cuda.memory_allocated() - before
        del result
        return float(held)
    return float(sum(_changes(make)))


def _changes(call: Call) -> list[int]:
    """Bytes of every allocation (positive) and release (negative) of a call on the CPU, in order; its result outlives the last one."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        result = call(0)
    del result
    kineto: Any = profiled.profiler
    events = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def warm_profiler() -> None:
    """Make one empty profile: the first of a process takes a second or two, and writes a line to the standard error."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True):
            pass
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


class ResidentPeak:
    """The most physical memory this process held at once, over what it held when the watch began.

    A sanity check beside the exact figure: libraries, arenas and page sizes are in it, and only the first call of a fresh process shows
    it. Linux lets a process set its high-water mark back; elsewhere there is no figure.
    """

    def __init__(self) -> None:
        self._before: int | None = None
        with suppress(OSError):  # no Linux, or a sandbox without it
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._before = _high_water_bytes()

    def bytes(self) -> float | None:
        """Growth until now; None where it cannot be told."""
        now = None if self._before is None else _high_water_bytes()
        return None if self._before is None or now is None else float(now - self._before)


def _high_water_bytes() -> int | None:
    """The high-water mark; None where the kernel does not report it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", text_of_file(Path("/proc/self/status")) or "", re.M)
    return None if found is None else int(found[1]) * 1024
