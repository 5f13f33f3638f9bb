"""Ratios of calls that alternate in one process, and lines of a table with a floor each; used by floors.py."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, the figure, and the floor ("at_least" or "at_most")."""

    what: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "x"

    @property
    def holds(self) -> bool:
        return (self.at_least is None or self.measured >= self.at_least) and (self.at_most is None or self.measured <= self.at_most)

    def __str__(self) -> str:
        floor = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{self.what:<74} {self.measured:>8.2f}{self.unit:<2} {floor + self.unit:>14}  {'holds' if self.holds else 'NOT MET'}"


class Bench:
    """Calls of mechanisms on one set of inputs."""

    def __init__(
        self, seq_len: int, head_dim: int = 64, num_heads: int = 4, batch_size: int = 1, device: str = "cpu", dtype: str = "float32"
    ) -> None:
        import torch

        self.device, self.num_heads, self.head_dim, self.seq_len = device, num_heads, head_dim, seq_len
        shape = (batch_size, num_heads, seq_len, head_dim)
        self.dtype = getattr(torch, dtype)
        self.inputs = [torch.randn(shape, device=device, dtype=self.dtype, requires_grad=True) for _ in range(3)]
        self.upstream = torch.randn(shape, device=device, dtype=self.dtype)
        self.input_bytes = 3 * math.prod(shape) * self.dtype.itemsize
        self.hidden = torch.randn(batch_size, seq_len, num_heads * head_dim, device=device, dtype=self.dtype)

    def call(self, name: str, mode: str, causal: bool = False, **params: object) -> Callable[[int], object]:
        """A call of one mechanism: "forward" without gradients, or "training", forward and backward."""
        import torch

        import attnbench
        from attnbench import registry

        d_model = self.num_heads * self.head_dim
        module = attnbench.build(name, self.num_heads, self.head_dim, seq_len=self.seq_len, d_model=d_model, **params)
        module.to(self.device, self.dtype)
        context = {"hidden": self.hidden} if registry.load("variants", name).needs_hidden else {}

        def forward(_: int) -> object:
            with torch.no_grad():
                return module(*self.inputs, causal=causal, **context)

        def training(_: int) -> None:
            for x in (*self.inputs, *module.parameters()):
                x.grad = None
            module(*self.inputs, causal=causal, **context).backward(self.upstream)

        return forward if mode == "forward" else training

    def ratio(self, one: Callable[[int], object], other: Callable[[int], object], patience_s: float = 2.0) -> float:
        """Median time of one over that of the other, the calls alternating: at least 3 of each, as many as fit into the patience."""
        from attnbench.measurement.clock import synchronise

        times: tuple[list[float], list[float]] = ([], [])
        one(0), other(0)
        began = time.perf_counter()
        while len(times[0]) < 3 or (time.perf_counter() - began < patience_s and len(times[0]) < 200):
            for call, samples in zip((one, other), times, strict=True):
                synchronise(self.device)
                started = time.perf_counter()
                call(len(samples))
                synchronise(self.device)
                samples.append(time.perf_counter() - started)
        return statistics.median(times[0]) / statistics.median(times[1])

    def seconds(self, call: Callable[[int], object]) -> float:
        from attnbench.measurement.clock import wall_clock_s, warm_up

        warm_up(call, self.device)
        return statistics.median(wall_clock_s(call, self.device))

    def peak(self, name: str, mode: str, **params: object) -> float:
        """Peak extra bytes of one call."""
        from attnbench.measurement.memory import peak_memory_bytes

        call = self.call(name, mode, **params)
        call(0)
        for x in self.inputs:
            x.grad = None
        return peak_memory_bytes(call, self.device)
