"""Measures what this machine can do at most, in the process that calls it: matrix products, memory, and the drift anchor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import perf_counter

import torch
from torch import Tensor

from attnbench.measurement.clock import synchronise
from attnbench.store import hardware
from attnbench.store.environment import version_of
from attnbench.store.peaks import ANCHOR_SHAPES, Peaks

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRODUCT_SIZES = (512, 1024, 2048, 4096, 8192, 16_384)
LONGEST_PRODUCT_S = 0.15
SMALLEST_SET, LARGEST_SET, SET_STEP = 2**18, 2**30, 4  # bytes
BATCH_S = 0.002  # of calls between two synchronisations; short, for some must fall between the disturbances of a busy machine
ROUNDS = 3  # over everything, so that a disturbance of a second or two spoils one try of each
PRODUCT_S, STREAM_S = 0.1, 0.05  # a round spends on one size of product and on one stream
ALIGNED = 64  # numbers


def measure_peaks(device: str, threads: int, anchor: Callable[[], list[float]], stage: Callable[[str], None]) -> Peaks:
    """The peaks of this machine, measured in about 12 seconds.

    threads: of torch, as they are set already. anchor: gives samples of the drift anchor, in seconds. stage: called with what
    is measured next.
    """
    products, memory = dict.fromkeys(_dtypes(device), 0.0), dict.fromkeys(working_sets(_memory_bytes(device)), 0.0)
    for number in range(1, ROUNDS + 1):
        for name in products:
            stage(f"products in {name}, round {number} of {ROUNDS}")
            products[name] = max(products[name], _product_flops_per_s(name, device))
        stage(f"memory, round {number} of {ROUNDS}")
        for size, rate in _bandwidth(list(memory), device):
            memory[size] = max(memory[size], rate)
    stage("anchor")
    return Peaks(
        device=device,
        device_name=torch.cuda.get_device_name() if device == "cuda" else hardware.cpu_model(),
        threads=threads,
        torch=version_of("torch") or torch.__version__,
        flops_per_s=products,
        bandwidth=tuple(memory.items()),
        anchor_s=tuple(anchor()),
        anchor_shape=ANCHOR_SHAPES[device],
        measured_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def _dtypes(device: str) -> list[str]:
    if device != "cuda":
        return list(DTYPES)
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return [*(name for name in DTYPES if name != "bfloat16" or has_bfloat16), "tensorfloat32"]


def _product_flops_per_s(name: str, device: str) -> float:
    """FLOP/s of a matrix product of the best size: sizes double until one product would take too long."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if name == "tensorfloat32" else "highest")
    best = 0.0
    try:
        for n in PRODUCT_SIZES:
            a, b = torch.randn(2, n, n, device=device).to(DTYPES.get(name, torch.float32))
            out = torch.empty_like(a)
            seconds = _fastest_s(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device, PRODUCT_S)  # type: ignore[misc]
            best = max(best, 2 * n**3 / seconds)
            if 8 * seconds > LONGEST_PRODUCT_S:
                break
    finally:
        torch.set_float32_matmul_precision(precision)
    return best


def _memory_bytes(device: str) -> int:
    return torch.cuda.mem_get_info()[1] if device == "cuda" else hardware.memory_bytes() or SMALLEST_SET


def working_sets(memory_bytes: int) -> list[int]:
    """The sizes of the working sets in bytes: 256 KiB to 1 GiB by factors of 4, up to a quarter of the memory; the smallest always."""
    sizes = [SMALLEST_SET]
    while sizes[-1] * SET_STEP <= min(LARGEST_SET, memory_bytes // 4):
        sizes.append(sizes[-1] * SET_STEP)
    return sizes


def _bandwidth(sizes: list[int], device: str) -> Iterator[tuple[int, float]]:
    """Bytes per second at every working set, of which the last is the largest."""
    # No page of it is all zeros, which a system may map to one and the same.
    numbers = torch.rand(SMALLEST_SET // 4, device=device).repeat(sizes[-1] // SMALLEST_SET)
    for size in sizes:
        yield size, _bytes_per_s(numbers[: size // 4], device)


def _bytes_per_s(numbers: Tensor, device: str) -> float:
    """The fastest of three streams through a float32 working set: STREAM's triad and copy, and a dot product, which only reads.

    Attention reads three tensors and writes one. On a CPU a write to fresh lines reads them first, unseen in the figure, so that what
    mostly reads can be faster than copy and triad.
    """
    third, half = (numbers.numel() // parts // ALIGNED * ALIGNED for parts in (3, 2))
    a, b, c = numbers[: 3 * third].view(3, third)
    x, y = numbers[: 2 * half].view(2, half)
    streams: tuple[tuple[int, Callable[[], object]], ...] = (
        (3 * third, lambda: torch.add(a, b, alpha=0.5, out=c)),
        (2 * half, lambda: y.copy_(x)),
        (2 * half, lambda: torch.dot(x, y)),
    )
    return max(count * numbers.itemsize / _fastest_s(stream, device, STREAM_S) for count, stream in streams)


def _fastest_s(call: Callable[[], object], device: str, budget_s: float) -> float:
    """Seconds of a call: the mean over a batch of calls, the least of at least two batches."""
    for _ in range(2):
        once = _batch_s(call, 1, device)
    calls = max(1, round(BATCH_S / once))
    started = perf_counter()
    best = _batch_s(call, calls, device)
    while perf_counter() - started < budget_s:
        best = min(best, _batch_s(call, calls, device))
    return best


def _batch_s(call: Callable[[], object], calls: int, device: str) -> float:
    synchronise(device)
    started = perf_counter()
    for _ in range(calls):
        call()
    synchronise(device)
    return (perf_counter() - started) / calls
