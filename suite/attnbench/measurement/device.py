"""The little that timing asks of a device: to finish its work, to empty its caches and, of a GPU, how long its kernels took.

`named` gives the device of a spec. A test puts one of its own in the place of CPU, so that what is done on a GPU is done without one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]
Interval = tuple[int, int]  # start and end of a kernel, in nanoseconds

L2_FLUSHES = 2  # times the size of the L2 cache that is written before a call on CUDA


class Kernels(Protocol):
    """Times the kernels of a GPU by its own clock, without what it costs to launch them."""

    def capture(self, run: Run) -> Run:
        """A function that replays on the present contents of the inputs what a call launched, and returns what that call returned.

        Raises whatever torch, or the call, raises where it cannot be captured. What the call made meanwhile may then hold no values.
        """

    def span(self, run: Run, flush: Run) -> tuple[object, float]:
        """What a call returned, and the seconds from the start of its first kernel to the end of its last. It runs after a flush."""

    def intervals(self, run: Run, flush: Run) -> tuple[object, list[Interval]]:
        """What a call returned, and when each of its kernels ran, by the profiler. It runs after a flush."""


class Device(Protocol):
    """A device on which calls run. kernels: None where a call has none that run apart from it, as on a CPU."""

    @property
    def kernels(self) -> Kernels | None: ...

    def synchronise(self) -> None:
        """Wait until everything that was asked of the device is done, on every stream."""

    def flusher(self) -> Run:
        """A function that empties the cache in which a call would find the inputs that were just copied."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor: a call is done when it returns."""

    kernels: None = None

    def synchronise(self) -> None:
        """Nothing: nothing is under way."""

    def flusher(self) -> Run:
        """A function that does nothing: inputs that are warm are what a user's are, and the caches belong to all calls alike."""
        return lambda: None


@dataclass(frozen=True, slots=True)
class CudaKernels:
    """Times kernels by CUDA's graphs, events and profiler."""

    def capture(self, run: Run) -> Run:
        """See Kernels. torch's own context leaves its stream current, and its generator capturing, when a capture fails: both come back."""
        stream, generator = torch.cuda.current_stream(), torch.cuda.default_generators[torch.cuda.current_device()]
        spare, graph, side = generator.clone_state(), torch.cuda.CUDAGraph(), torch.cuda.Stream()
        side.wait_stream(stream)
        try:
            with torch.cuda.stream(side):  # what a library makes for every stream, it makes here
                run()
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                result = run()
        except Exception:
            generator.graphsafe_set_state(spare)
            raise
        finally:
            torch.cuda.set_stream(stream)
            torch.cuda.synchronize()

        def replay() -> object:
            graph.replay()
            return result

        return replay

    def span(self, run: Run, flush: Run) -> tuple[object, float]:
        """See Kernels. Nothing waits between the flush and the call, so that the call is launched while the GPU still flushes."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        flush()
        start.record()
        result = run()
        end.record()
        torch.cuda.synchronize()
        return result, start.elapsed_time(end) / 1e3

    def intervals(self, run: Run, flush: Run) -> tuple[object, list[Interval]]:
        """See Kernels. Copies and fills on the GPU are among its kernels."""
        flush()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            result = run()
            torch.cuda.synchronize()
        assert profiled.profiler is not None and profiled.profiler.kineto_results is not None
        events = profiled.profiler.kineto_results.events()
        on_gpu = [event for event in events if event.device_type() == DeviceType.CUDA and not event.is_user_annotation()]
        return result, [(event.start_ns(), event.end_ns()) for event in on_gpu]


@dataclass(frozen=True, slots=True)
class Cuda:
    """The GPU that torch uses: a call has launched its work when it returns, and the GPU does it later."""

    kernels: Kernels = CudaKernels()

    def synchronise(self) -> None:
        """See Device."""
        torch.cuda.synchronize()

    def flusher(self) -> Run:
        """A function that writes twice as much as the L2 cache holds."""
        size = L2_FLUSHES * torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
        return torch.empty(size, dtype=torch.int8, device="cuda").zero_


CPU: Device = Cpu()
CUDA: Device = Cuda()


def named(name: str) -> Device:
    """The device of a name: "cpu" or "cuda"."""
    return CUDA if name == "cuda" else CPU
