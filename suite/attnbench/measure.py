"""Wall clock, peak memory and FLOPs of a call: raw samples, nothing stored, nothing derived.

The timed call stands alone: inputs, warm-up and checks lie outside the window, and the device is synchronised on both sides.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Call = Callable[[int], object]  # called with the number of the iteration, by which inputs rotate

WARMUP_CALLS, WARMUP_S = 3, 1.0
ENOUGH_SAMPLES, ENOUGH_S = 12, 0.3
FEW_SAMPLES, PATIENCE_S = 3, 4.0
MOST_SAMPLES = 200


def synchronise(device: str) -> None:
    """Wait until the device has done everything that was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


def warm_up(call: Call, device: str) -> None:
    """Three calls, or fewer once a second is over."""
    started = time.perf_counter()
    for i in range(WARMUP_CALLS):
        call(i)
        synchronise(device)
        if time.perf_counter() - started > WARMUP_S:
            return


def wall_clock_s(call: Call, device: str) -> list[float]:
    """Seconds of every timed call, in order: at least 12 over 0.3 s, at most 200; slow calls at least 3 over 4 s."""
    samples: list[float] = []
    total = 0.0
    while True:
        synchronise(device)
        started = time.perf_counter()
        result = call(len(samples))
        synchronise(device)
        samples.append(time.perf_counter() - started)
        del result  # freed outside the window
        total += samples[-1]
        enough = len(samples) >= ENOUGH_SAMPLES and total >= ENOUGH_S
        if enough or len(samples) >= MOST_SAMPLES or (len(samples) >= FEW_SAMPLES and total >= PATIENCE_S):
            return samples


def peak_memory_bytes(call: Call, device: str) -> float:
    """Most bytes allocated at once during a call, over what was allocated before it. The call must be warm, gradients cleared.

    CPU: the running sum of the profiler's allocator events, exact and independent of the machine. CUDA: the allocator's own
    statistics; one global counter, so that two measures must not nest.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = call(0)
        torch.cuda.synchronize()
        del result
        return float(torch.cuda.max_memory_allocated() - before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        result = call(0)
    del result
    kineto: Any = profiled.profiler
    events = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    running = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        running += event.nbytes()
        if running < 0:
            raise RuntimeError("the measured call freed memory that was allocated before it, so its peak cannot be told")
        peak = max(peak, running)
    return float(peak)


def warm_profiler() -> None:
    """One empty profile: the first of a process costs a second or two, and writes a line to the standard error."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True):
            pass
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def flops(call: Call) -> float:
    """Floating-point operations of the matrix products and attention kernels of one call, by torch's counter."""
    with FlopCounterMode(display=False, custom_mapping={**_CPU_ATTENTION, **_IN_PLACE}) as counter:
        call(0)
    return float(counter.get_total_flops())


def _attention_flops(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q, k, v))


def _attention_backward_flops(grad: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    # Five products to the forward's two: scores again, dV, dP, dQ and dK.
    return int(sdpa_flop_count(q, k, v)) * 5 // 2


def _product_flops(total: Any, a: Any, b: Any, *_: Any, **__: Any) -> int:
    return 2 * math.prod(a) * int(b[-1])


# torch's counter knows the CUDA kernels of scaled_dot_product_attention and not the CPU one, which it counts as nothing.
_CPU_ATTENTION: dict[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
}
# Nor does it know the products that accumulate in place.
_IN_PLACE: dict[Any, Any] = {torch.ops.aten.baddbmm_: _product_flops, torch.ops.aten.addmm_: _product_flops}
