"""How time and memory grow with seq_len, measured, against what is declared: a mechanism may grow slower, not faster."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from statistics import linear_regression, median
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.measurement import clock, memory
from attnbench.measurement.checks.finding import Finding, Worst
from attnbench.measurement.checks.subject import Subject

HEAD_DIM = 16
MODES = ("forward", "training")
# A mechanism that is declared about linear: the length is doubled until a call is work rather than overhead.
FIRST, LONGEST, WORK_S = 4096, 32768, 0.02
QUADRATIC_SIZES = (512, 1024, 2048)
LONGER = {"cpu": 1, "cuda": 8}  # what is work for a processor is overhead for a GPU
ROUNDS, MORE_ROUNDS, ENOUGH_S = 3, 7, 0.3
TIME_MARGIN = 0.5  # half an order: caches and the load of the machine add up to 0.4, the next order adds 1
MOST_EXCESS = 0.3
# Allocations are counted exactly, so that two lengths are enough; both are beyond the tiles that a mechanism may keep. One that is
# declared linear may change its form on the way, as polynomial does between 2,048 and 4,096.
QUADRATIC_MEMORY_SIZES, LINEAR_MEMORY_SIZES = (2048, 4096), (4096, 8192)
MEMORY_MARGIN = 0.1  # blocks that are cut from a sequence round a little


class PlainSoftmax(nn.Module):
    """Softmax attention for comparison: its arithmetic grows with exponent 2 exactly; what is measured above that is due to the machine."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, **_: Any) -> Tensor:
        return (q @ k.mT / math.sqrt(HEAD_DIM)).softmax(-1) @ v


def time_exponent(subject: Subject) -> Finding:
    """Growth of the time of forward and of a training step. On the CPU by processor time, in which other programs do not count."""
    declared = subject.variant.time_exponent
    worst = Worst(f"exponent of time, declared {declared:g}")
    for mode in _modes(subject):
        sizes = _linear_sizes(subject, mode) if declared < 1.5 else _quadratic_sizes(subject)
        exponent, excess = _exponent(subject, mode, sizes, ROUNDS)
        if exponent > declared + TIME_MARGIN + excess:  # a busy machine perhaps
            exponent, excess = _exponent(subject, mode, sizes, MORE_ROUNDS)
        worst.see(exponent, declared + TIME_MARGIN + excess, f"{mode}, seq_len {sizes[0]:,} to {sizes[-1]:,}")
        if worst.is_beyond:
            break
    return worst.finding()


def memory_exponent(subject: Subject) -> Finding:
    """Growth of the peak of what is allocated, in forward and in a training step."""
    declared = subject.variant.memory_exponent
    worst = Worst(f"exponent of peak memory, declared {declared:g}")
    sizes = LINEAR_MEMORY_SIZES if declared < 1.5 else QUADRATIC_MEMORY_SIZES
    for mode in _modes(subject):
        peaks = {size: _peak(subject, size, mode) for size in sizes}
        worst.see(_slope(peaks), declared + MEMORY_MARGIN, f"{mode}, seq_len {sizes[0]:,} to {sizes[-1]:,}")
    return worst.finding()


def _modes(subject: Subject) -> tuple[str, ...]:
    return MODES if subject.gradient_trouble(subject.forms[0]) is None else MODES[:1]


def _peak(subject: Subject, seq_len: int, mode: str) -> float:
    call = _call(subject, None, seq_len, mode)
    call(0)  # what a first call of this length sets up or tunes is not counted
    return max(1.0, memory.peak_memory_bytes(call, subject.device))  # a call that gives its values back allocates nothing


def _exponent(subject: Subject, mode: str, sizes: Sequence[int], rounds: int) -> tuple[float, float]:
    """The exponent of time, and by how much the machine's caches alone raise that of a matrix of all scores."""
    calls = {("own", size): _call(subject, None, size, mode) for size in sizes}
    if sizes == _quadratic_sizes(subject):
        calls |= {("plain", size): _call(subject, PlainSoftmax(), size, mode) for size in sizes}
    times = _times(calls, subject.device, rounds)
    own, plain = ({size: times[which, size] for size in sizes if (which, size) in times} for which in ("own", "plain"))
    excess = _slope(plain) - 2.0 if plain else 0.0
    return _slope(own), min(MOST_EXCESS, max(0.0, excess))


def _quadratic_sizes(subject: Subject) -> tuple[int, ...]:
    return tuple(length * LONGER[subject.device] for length in QUADRATIC_SIZES)


def _linear_sizes(subject: Subject, mode: str) -> tuple[int, ...]:
    """Three lengths, each twice the one before."""
    size, longest = (length * LONGER[subject.device] for length in (FIRST, LONGEST))
    while size < longest:
        call = _call(subject, None, size, mode)
        call(0)
        if _seconds(call, subject.device) >= WORK_S:
            break
        size *= 2
    return size // 4, size // 2, size


def _call(subject: Subject, module: nn.Module | None, seq_len: int, mode: str) -> clock.Call:
    """One forward pass, or one training step, of the subject or of another module."""
    module = module or subject.build(seq_len, HEAD_DIM, groups=1)
    training = mode == "training"
    inputs = {key: x.requires_grad_(training) for key, x in subject.draw(1, seq_len, HEAD_DIM, groups=1).items()}
    upstream = torch.ones_like(inputs["v"])
    wanted = [*inputs.values(), *module.parameters()]
    causal = subject.forms[0]

    def call(_: int) -> object:
        with torch.set_grad_enabled(training):
            out = module(**inputs, causal=causal)
            return torch.autograd.grad(out, wanted, upstream, allow_unused=True) if training else out

    return call


def _times(calls: Mapping[tuple[str, int], clock.Call], device: str, rounds: int) -> dict[tuple[str, int], float]:
    """Median seconds of each call, taken in turn, so that a disturbance affects all of them."""
    samples: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    for call in calls.values():
        call(0)
    began = time.perf_counter()
    done = 0
    while done < rounds or time.perf_counter() - began < ENOUGH_S:
        for key, call in calls.items():
            samples[key].append(_seconds(call, device))
        done += 1
    return {key: median(taken) for key, taken in samples.items()}


def _seconds(call: clock.Call, device: str) -> float:
    now = time.perf_counter if device == "cuda" else time.process_time
    clock.synchronise(device)
    began = now()
    result = call(0)
    clock.synchronise(device)
    took = now() - began
    del result
    return max(took, 1e-9)


def _slope(costs: Mapping[int, float]) -> float:
    return linear_regression([math.log(size) for size in costs], [math.log(cost) for cost in costs.values()]).slope
